-- How many events a conversation has, on average, for the planner: 20. Statistics that were taken while most had one say
-- that a look-up by the conversation alone finds one row, so any index that begins with it seems as good as the key;
-- then a look-up or a page by seq reads the whole of a conversation that has grown since, until statistics are taken
-- again. Takes effect with the next ANALYZE; before the first one the planner assumes more.
ALTER TABLE events ALTER COLUMN conversation SET (n_distinct = -0.05);
