package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func entry(kind core.EntryKind, monthly, purchased core.Credits) core.Entry {
	return core.Entry{Tenant: acme, Key: "k", Kind: kind, Period: november, Amount: core.Split{Monthly: monthly, Purchased: purchased}}
}

func TestApply(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		b    core.Balance
		e    core.Entry
		want core.Balance
		code core.Code
	}{
		{"allowance adds", balanceOf(1, 2), entry(core.EntryAllowance, 10, 0), balanceOf(11, 2), ""},
		{"purchase adds", balanceOf(1, 2), entry(core.EntryPurchase, 0, 10), balanceOf(1, 12), ""},
		{"charge takes by its split", balanceOf(5, 5), entry(core.EntryCharge, 2, 3), balanceOf(3, 2), ""},
		{"charge takes all", balanceOf(5, 5), entry(core.EntryCharge, 5, 5), balanceOf(0, 0), ""},
		{"refund gives back by its split", balanceOf(3, 2), entry(core.EntryRefund, 2, 3), balanceOf(5, 5), ""},
		{"charge of more than is left of the month", balanceOf(1, 100), entry(core.EntryCharge, 2, 0), core.Balance{}, core.CodeCreditsOutOfRange},
		{"charge of more than was purchased", balanceOf(100, 1), entry(core.EntryCharge, 0, 2), core.Balance{}, core.CodeCreditsOutOfRange},
		{"overflow", balanceOf(0, maxC), entry(core.EntryPurchase, 0, 1), core.Balance{}, core.CodeCreditsOutOfRange},
		{"overflow of both together", balanceOf(1, maxC-1), entry(core.EntryAllowance, 1, 0), core.Balance{}, core.CodeCreditsOutOfRange},
		{"negative entry", balanceOf(5, 5), entry(core.EntryPurchase, 0, -1), core.Balance{}, core.CodeCreditsOutOfRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.b.Apply(tc.e)
			require.Equal(t, tc.want, got)
			if tc.code == "" {
				require.NoError(t, err)
				return
			}
			refused(t, err, tc.code)
		})
	}
	t.Run("another period's balance", func(t *testing.T) {
		t.Parallel()
		late := balanceOf(5, 5)
		late.Period = december
		got, err := late.Apply(entry(core.EntryRefund, 1, 0))
		fault(t, err, "of period 2026-11 applied to a balance of 2026-12")
		require.Zero(t, got)
	})
	for kind, credit := range map[core.EntryKind]bool{
		core.EntryAllowance: true, core.EntryPurchase: true, core.EntryRefund: true, core.EntryCharge: false,
	} {
		require.Equal(t, credit, core.Entry{Kind: kind}.Credit(), kind)
	}
}

func TestLedgerKeys(t *testing.T) {
	t.Parallel()
	require.Equal(t, core.Key("charge/run-1/2"), core.ChargeKey(run1, 2))
	require.Equal(t, core.Key("refund/run-1/2"), core.RefundKey(run1, 2))
	require.Equal(t, core.Key("allowance/2026-11"), core.AllowanceKey(november))
}

func TestSameAs(t *testing.T) {
	t.Parallel()
	e := core.Entry{
		Tenant: acme, Key: "k", Seq: 1, Kind: core.EntryRefund, Period: november, Amount: core.Split{Monthly: 1, Purchased: 2},
		Run: run1, Attempt: 1, Charge: "c", Actor: admin, At: t0,
	}
	for name, tc := range map[string]struct {
		change func(*core.Entry)
		same   bool
	}{
		"nothing":   {func(*core.Entry) {}, true},
		"time":      {func(o *core.Entry) { o.At = t1 }, true},
		"actor":     {func(o *core.Entry) { o.Actor = operator }, true},
		"seq":       {func(o *core.Entry) { o.Seq = 2 }, true},
		"tenant":    {func(o *core.Entry) { o.Tenant = globex }, false},
		"key":       {func(o *core.Entry) { o.Key = "l" }, false},
		"kind":      {func(o *core.Entry) { o.Kind = core.EntryCharge }, false},
		"period":    {func(o *core.Entry) { o.Period = december }, false},
		"monthly":   {func(o *core.Entry) { o.Amount.Monthly++ }, false},
		"purchased": {func(o *core.Entry) { o.Amount.Purchased++ }, false},
		"run":       {func(o *core.Entry) { o.Run = "run-2" }, false},
		"attempt":   {func(o *core.Entry) { o.Attempt++ }, false},
		"charge":    {func(o *core.Entry) { o.Charge = "d" }, false},
	} {
		o := e
		tc.change(&o)
		require.Equal(t, tc.same, e.SameAs(o), name)
		require.Equal(t, tc.same, o.SameAs(e), name)
	}
}

func TestNewAllowance(t *testing.T) {
	t.Parallel()
	for _, p := range []core.Period{november, december, {Year: 2030, Month: 1}} {
		e, err := core.NewAllowance(acme, "k", p, 100, operator, t0)
		require.NoError(t, err)
		require.Equal(t, core.Entry{
			Tenant: acme, Key: "k", Kind: core.EntryAllowance, Period: p,
			Amount: core.Split{Monthly: 100}, Actor: operator, At: t0,
		}, e)
	}
	for name, tc := range map[string]struct {
		key    core.Key
		period core.Period
		amount core.Credits
		field  string
	}{
		"no key":          {"", november, 1, "idempotencyKey"},
		"nothing":         {"k", november, 0, "amount"},
		"negative":        {"k", november, -1, "amount"},
		"ended":           {"k", core.Period{Year: 2026, Month: 10}, 1, "period"},
		"ended last year": {"k", core.Period{Year: 2025, Month: 12}, 1, "period"},
	} {
		e, err := core.NewAllowance(acme, tc.key, tc.period, tc.amount, operator, t0)
		require.Equal(t, []string{tc.field}, fieldsOf(refused(t, err, core.CodeInvalidRequest)), name)
		require.Zero(t, e)
	}
	// A month ends in UTC, also for a server in another time zone.
	evening := time.Date(2026, 11, 30, 20, 0, 0, 0, time.FixedZone("UTC-5", -5*3600))
	_, err := core.NewAllowance(acme, "k", november, 1, operator, evening)
	refused(t, err, core.CodeInvalidRequest)
}

func TestNewPurchase(t *testing.T) {
	t.Parallel()
	e, err := core.NewPurchase(acme, "k", 100, operator, t0)
	require.NoError(t, err)
	require.Equal(t, core.Entry{
		Tenant: acme, Key: "k", Kind: core.EntryPurchase, Period: november,
		Amount: core.Split{Purchased: 100}, Actor: operator, At: t0,
	}, e)
	for name, tc := range map[string]struct {
		key    core.Key
		amount core.Credits
		field  string
	}{
		"no key":   {"", 1, "idempotencyKey"},
		"nothing":  {"k", 0, "amount"},
		"negative": {"k", -1, "amount"},
	} {
		e, err := core.NewPurchase(acme, tc.key, tc.amount, operator, t0)
		require.Equal(t, []string{tc.field}, fieldsOf(refused(t, err, core.CodeInvalidRequest)), name)
		require.Zero(t, e)
	}
}
