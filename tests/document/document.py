#!/usr/bin/env python3
"""Checks the sentences of docs/PROTOCOL.md, one by one, against a server.

It was written by somebody who had that document and no source: the schema, the numbers of commands and codes and the
examples are read from it, and the client does what it says. Every check names its section and quotes the sentence it
checks; a quotation that is not in the document (any more) is a difference, too.

    document.py --server 127.0.0.1:7400 --document docs/PROTOCOL.md [--only PART]

The server must be fresh and local, with the configuration that `--configuration` prints: without it, rates do not count
for 127.0.0.0/8. The accounts are registered here, from many addresses of that network (as Linux has them), so that the
default rates of one address suffice. What takes its time (deadlines, 1,000 edits) runs beside the rest: 50 s in all.
"""

import argparse
import os
import sys
import threading
import time

import checks_accounts
import checks_commands
import checks_examples
import checks_frames
import checks_limits
import checks_log
import checks_returning
import checks_sending
import checks_step
from checker import Test

CONFIGURATION = "[limits]\nexempt = []\n"
CHECKS = (
    checks_frames,
    checks_log,
    checks_sending,
    checks_step,
    checks_returning,
    checks_accounts,
    checks_commands,
    checks_limits,
    checks_examples,
)


def run(t, section):
    """Runs a section; what fails outside of any statement counts as a difference, too."""
    t.begin(section.__name__)
    try:
        section(t)
    except Exception as e:  # whatever it is, the other sections go on
        here = os.path.dirname(os.path.abspath(__file__))
        line = e.__traceback__
        while line.tb_next and os.path.dirname(os.path.abspath(line.tb_next.tb_frame.f_code.co_filename)) == here:
            line = line.tb_next
        with t.lock:
            t.checked += 1
            t.differ += 1
            print(f"{section.__name__}, line {line.tb_lineno}: {type(e).__name__}: {e}", flush=True)
    for client in t.local.opened:
        client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", metavar="ADDRESS", help="a fresh server, as 127.0.0.1:7400")
    parser.add_argument("--document", default="docs/PROTOCOL.md", metavar="FILE", help="default: docs/PROTOCOL.md")
    parser.add_argument("--configuration", action="store_true", help="print the configuration that the server needs")
    parser.add_argument("--only", metavar="PART", help="only the sections whose function has this in its name")
    options = parser.parse_args()
    if options.configuration:
        print(CONFIGURATION, end="")
        return 0
    if not options.server:
        parser.error("--server is needed")
    test = Test(options)
    names = ("section_", "deadline_")
    functions = [(n, f) for checks in CHECKS for n, f in vars(checks).items() if n.startswith(names)]
    if options.only:
        functions = [(n, f) for n, f in functions if options.only in n]
    beside = [threading.Thread(target=run, args=(test, f)) for n, f in functions if n.startswith("deadline_")]
    for thread in beside:
        thread.start()
    for name, section in functions:
        if name.startswith("section_"):
            begun = time.monotonic()
            run(test, section)
            if options.only:
                print(f"{name}: {time.monotonic() - begun:.1f} s")
    for thread in beside:
        thread.join()
    print(f"{test.checked} statements checked, {test.differ} differ")
    return 1 if test.differ else 0


if __name__ == "__main__":
    sys.exit(main())
