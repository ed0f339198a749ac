-- The check that the attempt of new attempt_files is there looks it up by its
-- key. Where statistics were behind, Postgres read every attempt that there is
-- instead: with 10,000 of them 14 ms for each run that was started or continued.

-- +goose Up
ALTER FUNCTION check_attempt() SET enable_seqscan = off;
ALTER FUNCTION check_attempt() SET enable_bitmapscan = off;
ALTER FUNCTION check_attempt() SET enable_hashjoin = off;
ALTER FUNCTION check_attempt() SET enable_mergejoin = off;
