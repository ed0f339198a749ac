package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// A question over all tenants goes to every node of Citus, and fails as a whole if one of
// them does not answer. It is then asked again of the tenants of the others, which Citus
// sends to no node but theirs.

// across is list for a question over all tenants. sql gets a condition to add, in which ? is
// the column of the tenant; it is empty unless nodes are down. What the others answered is
// given with an error that is ports.ErrIncomplete.
func across[T any](ctx context.Context, s *Store, scan pgx.RowToFunc[T], sql func(and string) string, args ...any) ([]T, error) {
	found, err := list(ctx, s, scan, sql(""), args...)
	if !errors.Is(err, ports.ErrUnavailable) || !s.citus(ctx) || ctx.Err() != nil {
		return found, err
	}
	tenants, missing, lookErr := s.reachable(ctx)
	switch {
	case lookErr != nil:
		return nil, errors.Join(err, lookErr)
	case missing == nil:
		return nil, err // every node answers again, or it was no node's fault
	}
	placed := len(args)
	if placed > 0 {
		if _, mode := args[0].(pgx.QueryExecMode); mode {
			placed--
		}
	}
	found, againErr := list(ctx, s, scan, sql(fmt.Sprintf(` AND ? = ANY ($%d::text[])`, placed+1)), append(args[:len(args):len(args)], textArray(tenants))...)
	if againErr != nil {
		return nil, againErr
	}
	missing.Err = err
	return found, missing
}

// reachable gives the tenants whose nodes answer, and what does not; nil if all of them do.
func (s *Store) reachable(ctx context.Context) (tenants []core.TenantID, missing *ports.Incomplete, err error) {
	const (
		nodes = `
SELECT nodename || ':' || nodeport, groupid, coalesce(citus_check_connection_to_node(nodename, nodeport), false)
  FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards ORDER BY 1`
		byNode = `
SELECT l.tenant_id, p.groupid = ANY ($1::int[]) FROM tenant_list l
  JOIN pg_dist_placement p ON p.shardid = get_shard_id_for_distribution_column('tenants', l.tenant_id)
 ORDER BY 1`
	)
	type node struct {
		name    string
		group   int32
		answers bool
	}
	found, err := list(ctx, s, func(row pgx.CollectableRow) (n node, err error) {
		err = row.Scan(&n.name, &n.group, &n.answers)
		return n, err
	}, nodes)
	if err != nil {
		return nil, nil, err
	}
	groups := []int32{}
	missing = &ports.Incomplete{}
	for _, n := range found {
		if n.answers {
			groups = append(groups, n.group)
		} else {
			missing.Where = append(missing.Where, n.name)
		}
	}
	if missing.Where == nil {
		return nil, nil, nil
	}
	type placed struct {
		id      core.TenantID
		answers bool
	}
	all, err := list(ctx, s, func(row pgx.CollectableRow) (p placed, err error) {
		err = row.Scan(&p.id, &p.answers)
		return p, err
	}, byNode, groups)
	for _, p := range all {
		if p.answers {
			tenants = append(tenants, p.id)
		} else {
			missing.Tenants = append(missing.Tenants, p.id)
		}
	}
	return tenants, missing, err
}

// textArray is never nil, which would be NULL.
func textArray[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return texts
}

// listTenant notes on the coordinator that the tenant is there, so that it is known of which
// tenants to ask while a node does not answer. A name too many does no harm, and one too few
// would leave its tenant out whenever another's node is down. So it is not a part of the
// transaction: the node's share of that is committed before the coordinator's, and a crash
// between the two would lose the name. It is written by a connection of its own, because
// transactions that wait for another one of the pool would wait for each other.
func (t *tx) listTenant(ctx context.Context) error {
	if err := t.writable(); err != nil {
		return err
	}
	return t.do(ctx, func(ctx context.Context) error {
		return t.store.alone(ctx, `INSERT INTO tenant_list (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING`, t.tenant)
	})
}

// alone runs a statement on a connection that is not of the pool.
func (s *Store) alone(ctx context.Context, sql string, args ...any) error {
	pc := s.pool.Config()
	if pc.BeforeConnect != nil { // it may know the password
		if err := pc.BeforeConnect(ctx, pc.ConnConfig); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, pc.ConnConfig)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql, args...)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// sweep removes up to limit old rows of all tenants. On plain Postgres that is one statement.
// Citus removes with a limit only of one tenant at a time: those that have old rows are
// looked for, up to a bound, and each is swept by itself. What is on nodes that do not
// answer is left to the next time.
func (s *Store) sweep(ctx context.Context, sql func(of string) string, having func(and string) string, before time.Time, limit int) (int, error) {
	if !s.citus(ctx) {
		return s.execute(ctx, sql(""), before, limit)
	}
	if limit == 0 {
		return 0, nil
	}
	tenants, err := across(ctx, s, pgx.RowTo[core.TenantID], having, before, limit)
	if err != nil && !errors.Is(err, ports.ErrIncomplete) {
		return 0, err
	}
	missing := err
	removed := 0
	for _, tenant := range tenants {
		n, err := s.execute(ctx, sql(` AND ? = $3`), before, limit-removed, tenant)
		removed += n
		if err != nil {
			return removed, err
		}
		if removed == limit {
			break
		}
	}
	return removed, missing
}
