package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// ledgerCmd has the commands on the ledger.
type ledgerCmd struct {
	Check  ledgerCheckCmd  `cmd:"" help:"Recompute every balance and every run's credits from the ledger; exit 1 on any difference."`
	Export ledgerExportCmd `cmd:"" help:"Write the ledger's entries as CSV or JSON lines."`
}

// ledgerScope selects the tenants whose ledgers a command reads.
type ledgerScope struct {
	databaseFlags

	Tenant string `placeholder:"ID" help:"Only this tenant; otherwise all."`
}

// each calls do for the tenant that was asked for, or for all.
func (s ledgerScope) each(ctx context.Context, store ports.Store, do func(core.TenantID) error) error {
	if s.Tenant != "" {
		return do(core.TenantID(s.Tenant))
	}
	return app.EachTenant(ctx, store, func(t core.Tenant) error { return do(t.ID) })
}

type ledgerCheckCmd struct{ ledgerScope }

// Run prints a line for each tenant and one for each difference, and fails if
// there is any.
func (c *ledgerCheckCmd) Run(ctx context.Context, to streams) (err error) {
	db, err := c.openMigrated(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TENANT\tENTRIES\tRUNS\tDIFFERENCES\tRECORDED\tRECOMPUTED")
	found := 0
	err = c.each(ctx, db.store, func(tenant core.TenantID) error {
		audit, err := app.CheckLedger(ctx, db.store, tenant)
		if err != nil {
			return err
		}
		entries, runs := audit.Counts()
		differences := audit.Differences()
		found += len(differences)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t\t\n", tenant, entries, runs, len(differences))
		for _, d := range differences {
			fmt.Fprintf(table, "%s\t\t\t%s\t%s\t%s\n", tenant, d.What, d.Recorded, d.Recomputed)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if found > 0 {
		return fmt.Errorf("the ledger differs from the balances and runs in %d places", found)
	}
	return nil
}

type ledgerExportCmd struct {
	ledgerScope

	Format string `enum:"csv,jsonl" default:"csv" help:"csv, with a header line, or jsonl, one JSON object a line. In csv, a cell that a spreadsheet would run as a formula begins with an apostrophe."`
}

// Run writes every entry, tenant by tenant, each in the order of its ledger.
func (c *ledgerExportCmd) Run(ctx context.Context, to streams) (err error) {
	db, err := c.openMigrated(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	write, flush := exportCSV(to.out)
	if c.Format == "jsonl" {
		write, flush = exportJSONLines(to.out)
	}
	err = c.each(ctx, db.store, func(tenant core.TenantID) error {
		return app.ExportLedger(ctx, db.store, tenant, write)
	})
	if err != nil {
		return err
	}
	return flush()
}

// entryLine is an entry as it is exported; CSV has the same columns in this order.
type entryLine struct {
	Tenant        string    `json:"tenant"`
	Seq           int64     `json:"seq"`
	Key           string    `json:"key"`
	Kind          string    `json:"kind"`
	Period        string    `json:"period"`
	Monthly       int64     `json:"monthly"`
	Purchased     int64     `json:"purchased"`
	Run           string    `json:"run,omitempty"`
	Attempt       *int      `json:"attempt,omitempty"`
	Charge        string    `json:"charge,omitempty"`
	ActorSubject  string    `json:"actorSubject"`
	ActorTenant   string    `json:"actorTenant,omitempty"`
	ActorRole     string    `json:"actorRole"`
	At            time.Time `json:"at"`
	ChangesCredit int64     `json:"changesCredit"` // the change of the balance, with its sign
}

func toLine(e core.Entry) entryLine {
	line := entryLine{
		Tenant: string(e.Tenant), Seq: e.Seq, Key: string(e.Key), Kind: string(e.Kind), Period: e.Period.String(),
		Monthly: int64(e.Amount.Monthly), Purchased: int64(e.Amount.Purchased), Run: string(e.Run), Charge: string(e.Charge),
		ActorSubject: e.Actor.Subject, ActorTenant: string(e.Actor.Tenant), ActorRole: string(e.Actor.Role), At: e.At,
		ChangesCredit: int64(e.Amount.Total()),
	}
	if e.Run != "" {
		attempt := int(e.Attempt)
		line.Attempt = &attempt
	}
	if !e.Credit() {
		line.ChangesCredit = -line.ChangesCredit
	}
	return line
}

func exportJSONLines(to io.Writer) (write func(core.Entry) error, flush func() error) {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return func(e core.Entry) error { return encoder.Encode(toLine(e)) }, func() error { return nil }
}

// asText puts an apostrophe before a cell that a spreadsheet would run as a formula.
// Otherwise users who choose keys, subjects and IDs could run code on the machine of the
// person who opens the export. Numbers are not changed, also not negative ones. The export
// as JSON lines, which is for programs, has all values unchanged.
func asText(cells []string) []string {
	for i, cell := range cells {
		cells[i] = core.SpreadsheetCell(cell)
	}
	return cells
}

func exportCSV(to io.Writer) (write func(core.Entry) error, flush func() error) {
	w := csv.NewWriter(to)
	header := []string{
		"tenant", "seq", "key", "kind", "period", "monthly", "purchased", "run", "attempt", "charge",
		"actorSubject", "actorTenant", "actorRole", "at", "changesCredit",
	}
	headed := false
	head := func() error {
		if headed {
			return nil
		}
		headed = true
		return w.Write(header)
	}
	write = func(e core.Entry) error {
		if err := head(); err != nil {
			return err
		}
		line, attempt := toLine(e), ""
		if line.Attempt != nil {
			attempt = strconv.Itoa(*line.Attempt)
		}
		return w.Write(asText([]string{
			line.Tenant, strconv.FormatInt(line.Seq, 10), line.Key, line.Kind, line.Period,
			strconv.FormatInt(line.Monthly, 10), strconv.FormatInt(line.Purchased, 10), line.Run, attempt, line.Charge,
			line.ActorSubject, line.ActorTenant, line.ActorRole, line.At.Format(time.RFC3339Nano), strconv.FormatInt(line.ChangesCredit, 10),
		}))
	}
	flush = func() error {
		if err := head(); err != nil { // also when there was no entry
			return err
		}
		w.Flush()
		return w.Error()
	}
	return write, flush
}
