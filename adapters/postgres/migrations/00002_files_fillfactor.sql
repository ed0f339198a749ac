-- +goose Up

-- A claim or a settlement of a run's files updates all rows of a page at once, so
-- a page has to have room for as many again: at 70, 45 of 100 updates found none,
-- went to another page and wrote the index. Pages that are full already keep as
-- they are; only new ones are filled less.
ALTER TABLE files SET (fillfactor = 45);
