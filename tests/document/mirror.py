"""A device that keeps a copy of everything by the rules of section 7."""


class Mirror:
    """What a device of section 7 keeps: every visible event of every conversation, exactly once and in order."""

    def __init__(self, client):
        self.client, self.token, self.epoch = client, b"", client.epoch
        self.logs, self.cursors, self.heads = {}, {}, {}
        self.again = False

    def sync(self):
        while True:
            answer = self.client.works("sync", token=self.token, limit=3)
            if answer.restarted or answer.epoch != self.epoch:
                self.logs, self.cursors, self.epoch = {}, {}, answer.epoch
            for conversation in answer.conversations:
                known = conversation.conversation_id in self.cursors
                self.cursors.setdefault(conversation.conversation_id, conversation.first_seq - 1)
                self.heads[conversation.conversation_id] = conversation.head_seq
                self.logs.setdefault(conversation.conversation_id, []) if not known else None
            for page in answer.pages:
                self.page(page)
            for conversation in answer.conversations:
                self.pull(conversation.conversation_id, conversation.head_seq)
            self.token = answer.token
            if not answer.more:
                return answer

    def page(self, page):
        number = page.conversation_id
        if number not in self.cursors:
            if page.events and page.events[0].seq == 1:
                self.cursors[number], self.logs[number] = 0, []
            else:
                self.cursors[number] = self.client.conversation(number).first_seq - 1
                self.logs[number] = []
        if page.from_seq > self.cursors[number] + 1:
            return self.pull(number, page.to_seq)
        for event in page.events:
            if event.seq > self.cursors[number]:
                self.logs[number].append((event.seq, event.client_msg_id))
        self.cursors[number] = max(self.cursors[number], page.to_seq)

    def pull(self, number, head):
        if number not in self.cursors:
            self.cursors[number], self.logs[number] = self.client.conversation(number).first_seq - 1, []
        while self.cursors[number] < head:
            self.page(self.client.history(number, self.cursors[number] + 1, 2, epoch=self.epoch))

    def drain(self):
        """Applies what was pushed before the answer to a ping, and stores the token of that answer."""
        pong = self.client.barrier()
        for frame in [f for f in self.client.pushes if f.name in ("events", "heads")]:
            self.client.pushes.remove(frame)
            if frame.name == "events":
                self.page(frame.body)
            for head in frame.body.heads if frame.name == "heads" else ():
                self.pull(head.conversation_id, head.seq)
        self.token = pong.sync_token
