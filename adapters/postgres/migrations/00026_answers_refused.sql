-- What is swept of answers: refusals, which are kept no longer than replies. Accepted answers
-- stay: they keep a late repeat from being charged. Only refusals are in the index, so that an
-- accepted initiation costs nothing more. It is built as those of 00024 are.

-- +goose NO TRANSACTION
-- +goose Up

SET lock_timeout = 0;

DROP INDEX CONCURRENTLY IF EXISTS answers_refused;
CREATE INDEX CONCURRENTLY answers_refused ON answers (at) WHERE run IS NULL;
