package watermillqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
)

// pgDead is the table of dead letters.
type pgDead struct {
	pool     *pgxpool.Pool
	requeued func() // called when jobs are back in the queue; may be nil
}

var _ DeadLetters = (*pgDead)(nil)

// PostgresDeadLetters gives the dead letters of the queue in a database, for
// commands that have no use for a whole queue.
func PostgresDeadLetters(pool *pgxpool.Pool) DeadLetters { return &pgDead{pool: pool} }

func (d *pgDead) List(ctx context.Context, limit int) ([]DeadLetter, error) {
	rows, err := d.pool.Query(ctx, listDeadSQL, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DeadLetter, error) {
		var l DeadLetter
		var id int64
		var tenant, metadata, payload string
		if err := row.Scan(&id, &tenant, &l.MessageID, &l.Origin, &l.Reason, &l.Detail, &l.At, &metadata, &payload); err != nil {
			return l, err
		}
		l.ID, l.Tenant, l.Payload, l.At = strconv.FormatInt(id, 10), core.TenantID(tenant), []byte(payload), l.At.UTC()
		if json.Unmarshal([]byte(metadata), &l.Metadata) != nil {
			l.Metadata = message.Metadata{"unreadable": metadata}
		}
		return l, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

func (d *pgDead) Requeue(ctx context.Context, ids ...string) (found int, err error) {
	numbers := make([]int64, 0, len(ids))
	for _, id := range ids {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil { // any other names none
			numbers = append(numbers, n)
		}
	}
	if err := d.pool.QueryRow(ctx, requeueSQL, numbers).Scan(&found); err != nil {
		return 0, fmt.Errorf("requeue dead letters: %w", err)
	}
	if found == 0 {
		return 0, nil
	}
	if d.requeued != nil {
		d.requeued()
		return found, nil
	}
	if _, err := d.pool.Exec(ctx, notifySQL, ""); err != nil {
		return found, fmt.Errorf("requeued, but servers were not notified and will find out later: %w", err)
	}
	return found, nil
}
