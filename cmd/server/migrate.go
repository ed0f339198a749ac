package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"
)

// migrateCmd brings the schema up to date, or lists its migrations.
type migrateCmd struct {
	databaseFlags

	Status bool `help:"Only list the migrations and when each was applied."`
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
		return err
	}
	steps, err := db.status(ctx)
	if err != nil {
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
