-- True from before the first row of a copied store comes until the whole of it was compared with its source: nothing
-- may be served from what is between.
ALTER TABLE store ADD COLUMN filling boolean NOT NULL DEFAULT false;
