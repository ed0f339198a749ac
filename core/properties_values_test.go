package core_test

import (
	"math/big"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// The arithmetic agrees with that of unbounded integers if the operands and the result
// are amounts of credits; otherwise it refuses.
func TestCreditsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyCredits().Draw(t, "a"), anyCredits().Draw(t, "b")
		x, y := big.NewInt(int64(a)), big.NewInt(int64(b))
		for name, tc := range map[string]struct {
			exact *big.Int
			do    func() (core.Credits, error)
		}{
			"plus":  {new(big.Int).Add(x, y), func() (core.Credits, error) { return a.Plus(b) }},
			"minus": {new(big.Int).Sub(x, y), func() (core.Credits, error) { return a.Minus(b) }},
			"times": {new(big.Int).Mul(x, y), func() (core.Credits, error) { return a.Times(int(b)) }},
		} {
			got, err := tc.do()
			if a < 0 || b < 0 || tc.exact.Sign() < 0 || !tc.exact.IsInt64() {
				refused(t, err, core.CodeCreditsOutOfRange)
				require.Zero(t, got, name)
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, tc.exact.Int64(), int64(got), name)
		}
	})
}

func TestSplitProperty(t *testing.T) {
	t.Parallel()
	amount := rapid.Int64Range(0, 1<<61)
	rapid.Check(t, func(t *rapid.T) {
		a := core.Split{Monthly: core.Credits(amount.Draw(t, "m1")), Purchased: core.Credits(amount.Draw(t, "p1"))}
		b := core.Split{Monthly: core.Credits(amount.Draw(t, "m2")), Purchased: core.Credits(amount.Draw(t, "p2"))}
		sum, err := a.Plus(b)
		require.NoError(t, err)
		require.Equal(t, a.Total()+b.Total(), sum.Total())
		back, err := sum.Minus(b)
		require.NoError(t, err)
		require.Equal(t, a, back, "minus undoes plus")
		if b.Monthly > a.Monthly || b.Purchased > a.Purchased {
			_, err := a.Minus(b)
			refused(t, err, core.CodeCreditsOutOfRange)
		}
	})
}

// The split of a price is exact and takes the monthly allowance first.
func TestSplitPriceProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := balanceOf(core.Credits(rapid.Int64Range(0, 100).Draw(t, "monthly")), core.Credits(rapid.Int64Range(0, 100).Draw(t, "purchased")))
		price := core.Credits(rapid.Int64Range(0, 250).Draw(t, "price"))
		split, err := b.SplitPrice(price)
		if price > b.Monthly+b.Purchased {
			r := refused(t, err, core.CodeInsufficientCredits)
			require.Equal(t, price, r.Needed)
			require.Equal(t, b.Monthly+b.Purchased, r.Available)
			require.Zero(t, split, "all or nothing")
			return
		}
		require.NoError(t, err)
		require.Equal(t, price, split.Monthly+split.Purchased, "exact")
		require.True(t, split.Monthly >= 0 && split.Purchased >= 0)
		require.True(t, split.Monthly <= b.Monthly && split.Purchased <= b.Purchased, "from what is there")
		require.True(t, split.Purchased == 0 || split.Monthly == b.Monthly, "purchased only when the month is used up")
	})
}

// Posting a charge and then its refund leaves the balance as it was, and no
// entry takes a balance below zero.
func TestApplyProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := balanceOf(core.Credits(rapid.Int64Range(0, 50).Draw(t, "monthly")), core.Credits(rapid.Int64Range(0, 50).Draw(t, "purchased")))
		charge := entry(core.EntryCharge, core.Credits(rapid.Int64Range(0, 80).Draw(t, "m")), core.Credits(rapid.Int64Range(0, 80).Draw(t, "p")))
		after, err := b.Apply(charge)
		if charge.Amount.Monthly > b.Monthly || charge.Amount.Purchased > b.Purchased {
			refused(t, err, core.CodeCreditsOutOfRange)
			require.Zero(t, after)
			return
		}
		require.NoError(t, err)
		require.True(t, after.Monthly >= 0 && after.Purchased >= 0)
		refund := charge
		refund.Kind = core.EntryRefund
		back, err := after.Apply(refund)
		require.NoError(t, err)
		require.Equal(t, b, back)
	})
}

// Months follow each other without gap or overlap, and text sorts as time does.
func TestPeriodProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyInstant().Draw(t, "a"), anyInstant().Draw(t, "b")
		p, q := core.PeriodOf(a), core.PeriodOf(b)
		require.False(t, a.Before(p.Start()))
		require.True(t, a.Before(p.End()))
		require.Equal(t, p, core.PeriodOf(p.Start()))
		require.Equal(t, p, core.PeriodOf(p.End().Add(-1)))
		require.Equal(t, p.Next(), core.PeriodOf(p.End()))
		require.True(t, p.Before(p.Next()))
		require.Equal(t, p.End().Compare(q.Start()) <= 0, p.Before(q))
		require.Equal(t, p.String() < q.String(), p.Before(q))
		parsed, err := core.ParsePeriod(p.String())
		require.NoError(t, err)
		require.Equal(t, p, parsed)
		require.Equal(t, p, core.PeriodOf(a.UTC()), "in any time zone of the clock")
	})
}

// Another tenant's data is refused for any role, and an unknown role or action allows
// nothing.
func TestAuthorizeProperty(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[a-z_]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		role := core.Role(rapid.OneOf(word, rapid.SampledFrom([]string{"bubble_admin", "customer_admin", "customer_user"})).Draw(t, "role"))
		action := core.Action(rapid.OneOf(word, rapid.SampledFrom([]string{"read", "initiate", "continue", "cancel", "manage_credits"})).Draw(t, "action"))
		actor := core.Actor{Subject: "x", Tenant: acme, Role: role}
		if role != core.RolePlatformAdmin {
			refused(t, core.Authorize(actor, action, globex), core.CodeWrongTenant)
		}
		if !role.Valid() {
			refused(t, core.Authorize(actor, action, acme), core.CodeRoleNotAllowed)
		}
	})
}

func TestValidationProperty(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	key := regexp.MustCompile(`^[!-~]{1,255}$`)
	text := rapid.OneOf(rapid.StringN(0, 70, 300), rapid.StringMatching(`[A-Za-z0-9._-]{0,70}`), rapid.StringMatching(`[ -~]{0,260}`))
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		_, err := core.NewTenant(core.TenantID(s), "Acme", 0, t0)
		require.Equal(t, id.MatchString(s) && s != "." && s != "..", err == nil, "%q as an ID: %v", s, err)
		err = core.CheckKey("key", core.Key(s))
		require.Equal(t, key.MatchString(s), err == nil, "%q as a key: %v", s, err)
	})
}

// Full jitter stays within its bound, and a wait is never shorter than the provider asks.
func TestDelayProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "base"))
		p := core.RetryPolicy{
			MaxTries: rapid.IntRange(1, 40).Draw(t, "tries"), BaseDelay: base,
			MaxDelay: base + time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "max")),
			Budget:   time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "budget")),
		}
		require.NoError(t, p.Validate())
		try := rapid.IntRange(1, 45).Draw(t, "try")
		spent := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "spent"))
		wish := time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "retryAfter"))
		roll := rapid.Float64Range(0, 0.999999).Draw(t, "roll")
		wait, again := p.Delay(try, spent, wish, roll)
		if try >= p.MaxTries {
			require.False(t, again)
			return
		}
		require.GreaterOrEqual(t, wait, wish)
		require.LessOrEqual(t, wait, max(wish, p.MaxDelay))
		if try == 1 {
			require.LessOrEqual(t, wait, max(wish, p.BaseDelay))
		}
		require.Equal(t, spent+wait <= p.Budget, again)
		longer, _ := p.Delay(min(try+1, p.MaxTries-1), spent, wish, roll)
		require.GreaterOrEqual(t, longer, wait, "a later try does not wait less")
	})
}

func TestTemplateProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := published(core.Credits(rapid.Int64Range(0, 9).Draw(t, "price")))
		price := anyCredits().Draw(t, "newPrice")
		var change core.TemplateChange
		if rapid.Bool().Draw(t, "reprice") {
			change.CreditsPerRun = &price
		}
		var changed core.Template
		var err error
		unchanged(t, func() { changed, err = start.Change(change, t1) }, start, change)
		switch {
		case change.CreditsPerRun == nil:
			require.NoError(t, err)
			require.Equal(t, start.CreditsPerRun, changed.CreditsPerRun)
		case price < 0:
			refused(t, err, core.CodeInvalidRequest)
			require.Zero(t, changed)
			return
		default:
			require.NoError(t, err)
			require.Equal(t, price, changed.CreditsPerRun)
		}
		require.Equal(t, start.Mode, changed.Mode, "runs were split into jobs by it")
	})
}
