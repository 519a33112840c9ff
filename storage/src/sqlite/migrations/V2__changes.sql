-- From here on the watermark may be below the newest event's position: see `behind.rs`.

-- What changed at all since a position, where that is less than what one user is a member of.
CREATE INDEX conversations_by_head ON conversations (head_position);
CREATE INDEX cursors_moved ON cursors (position) WHERE position > 0;
