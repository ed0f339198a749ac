package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/redrive/redrive/adapters/postgres"
)

// migrateCmd brings the schema up to date, or lists its migrations.
type migrateCmd struct {
	databaseFlags

	Status bool `help:"Only say whether the tables are spread by Citus, and list the migrations and when each was applied." xor:"what"`
	Citus  bool `help:"Spread the tables over the nodes of Citus, by tenant, after the migrations. No server may run meanwhile. There is no way back." xor:"what"`
}

// Run prints a line for each migration that it applied, or with --status for each one.
func (c *migrateCmd) Run(ctx context.Context, to streams) (err error) {
	open := c.openKept
	if c.Status {
		open = c.openThere
	}
	db, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if !c.Status {
		applied, err := db.migrate(ctx)
		for _, m := range applied {
			fmt.Fprintln(to.out, "applied", m.Name)
		}
		if err == nil && len(applied) == 0 {
			fmt.Fprintln(to.out, "the schema is up to date")
		}
		if err != nil || !c.Citus {
			return err
		}
		return db.distributeTo(ctx, to)
	}
	steps, err := db.status(ctx)
	if err != nil {
		return err
	}
	if err := db.spreadTo(ctx, to); err != nil {
		return err
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tNAME\tAPPLIED")
	for _, m := range steps {
		applied := "pending"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", m.Version, m.Name, applied)
	}
	return table.Flush()
}

// distributeTo spreads the tables by Citus.
func (d *database) distributeTo(ctx context.Context, to streams) error {
	if d.pool == nil {
		return errors.New("--citus is for a database in Postgres")
	}
	moved, err := postgres.Distribute(ctx, d.pool)
	for _, table := range moved {
		fmt.Fprintln(to.out, "distributed", table)
	}
	if err != nil {
		return err
	}
	if len(moved) == 0 {
		fmt.Fprintln(to.out, "the tables are distributed")
	}
	return d.spreadTo(ctx, to)
}

// spreadTo says where the tables of a database in Postgres are.
func (d *database) spreadTo(ctx context.Context, to streams) error {
	if d.pool == nil {
		return nil
	}
	s, err := postgres.SpreadStatus(ctx, d.pool)
	if err != nil {
		return err
	}
	switch {
	case s.Citus == "":
		fmt.Fprintln(to.out, "plain Postgres")
	case s.Whole() != nil:
		fmt.Fprintf(to.out, "Citus %s: %v\n", s.Citus, s.Whole())
	default:
		fmt.Fprintf(to.out, "Citus %s: by tenant, in %d shards on %d nodes\n", s.Citus, s.Shards, s.Nodes)
	}
	return nil
}
