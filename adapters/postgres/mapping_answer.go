package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/answerjson"
)

func answerArgs(tenant core.TenantID, a core.Answer) ([]any, error) {
	run, refusal, err := answerjson.Encode(a)
	if err != nil {
		return nil, err
	}
	return []any{tenant, a.Key, a.Operation, a.Fingerprint, run, refusal, a.At}, nil
}

func scanAnswer(row pgx.CollectableRow) (a core.Answer, err error) {
	var run, refusal []byte
	if err := row.Scan(&a.Tenant, &a.Key, &a.Operation, &a.Fingerprint, &run, &refusal, &a.At); err != nil {
		return core.Answer{}, err
	}
	a.At = a.At.UTC()
	if err := answerjson.Decode(&a, run, refusal); err != nil {
		return core.Answer{}, err
	}
	return a, nil
}
