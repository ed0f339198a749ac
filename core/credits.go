package core

import (
	"fmt"
	"math"
)

// Credits is an amount of credits: a whole number, never a float. Amounts of
// entries and balances are never negative; the arithmetic below refuses both
// overflow and results below zero (spec 7).
type Credits int64

// Plus adds. It fails with CodeCreditsOutOfRange on overflow or if an operand is negative.
func (c Credits) Plus(d Credits) (Credits, error) {
	if c < 0 || d < 0 || c > math.MaxInt64-d {
		return 0, outOfRange("%d + %d", c, d)
	}
	return c + d, nil
}

// Minus subtracts. It fails with CodeCreditsOutOfRange if the result would be
// below zero: a balance is never clamped, because a clamp loses credits silently.
func (c Credits) Minus(d Credits) (Credits, error) {
	if c < 0 || d < 0 || d > c {
		return 0, outOfRange("%d - %d", c, d)
	}
	return c - d, nil
}

// Times multiplies by a number of files. It fails with CodeCreditsOutOfRange
// on overflow or if an operand is negative.
func (c Credits) Times(n int) (Credits, error) {
	if c < 0 || n < 0 {
		return 0, outOfRange("%d × %d", c, n)
	}
	if n != 0 && c > math.MaxInt64/Credits(n) {
		return 0, outOfRange("%d × %d", c, n)
	}
	return c * Credits(n), nil
}

func outOfRange(format string, args ...any) error {
	return &Error{
		Code: CodeCreditsOutOfRange,
		Message: fmt.Sprintf(format, args...) +
			fmt.Sprintf(" is outside the range of credits, 0 to %d", int64(math.MaxInt64)),
	}
}

// Split says which part of an amount is monthly allowance and which part is
// purchased. A refund carries the split of its charge unchanged, so that every
// credit goes back to exactly where it came from.
type Split struct {
	Monthly   Credits
	Purchased Credits
}

// Total is the sum of both parts, or the largest amount of Credits if the sum is above
// it: each of two large grants may be in range, and their sum not.
func (s Split) Total() Credits {
	if s.Monthly > math.MaxInt64-s.Purchased {
		return math.MaxInt64
	}
	return s.Monthly + s.Purchased
}

// IsZero reports whether both parts are 0.
func (s Split) IsZero() bool { return s == Split{} }

// Plus adds part by part.
func (s Split) Plus(t Split) (Split, error) {
	monthly, err := s.Monthly.Plus(t.Monthly)
	if err != nil {
		return Split{}, err
	}
	purchased, err := s.Purchased.Plus(t.Purchased)
	if err != nil {
		return Split{}, err
	}
	if _, err := monthly.Plus(purchased); err != nil {
		return Split{}, err
	}
	return Split{Monthly: monthly, Purchased: purchased}, nil
}

// Minus subtracts part by part.
func (s Split) Minus(t Split) (Split, error) {
	monthly, err := s.Monthly.Minus(t.Monthly)
	if err != nil {
		return Split{}, err
	}
	purchased, err := s.Purchased.Minus(t.Purchased)
	if err != nil {
		return Split{}, err
	}
	return Split{Monthly: monthly, Purchased: purchased}, nil
}

// Balance is what a tenant can spend in one period: the rest of that month's allowance,
// and the purchased credits, which belong to no month.
type Balance struct {
	Period Period
	Split
	// Suspended says that nothing may be spent, because the tenant is suspended. Balances
	// that are read as a list do not have it.
	Suspended bool
}

// Available is the most that a charge in this period may take.
func (b Balance) Available() Credits { return b.Total() }

// SplitPrice divides a price over the balance: monthly allowance first, because it ends
// with its month, then purchased credits (the burn order of spec 1). If the balance does
// not cover the whole price it fails with CodeInsufficientCredits, with the needed and
// the available amount.
func (b Balance) SplitPrice(price Credits) (Split, error) {
	if price < 0 {
		return Split{}, outOfRange("price %d", price)
	}
	if price > b.Available() {
		return Split{}, &Error{
			Code:      CodeInsufficientCredits,
			Message:   fmt.Sprintf("%d credits are needed and %d are available; buy credits or wait for the next allowance", price, b.Available()),
			Needed:    price,
			Available: b.Available(),
		}
	}
	monthly := min(price, b.Monthly)
	return Split{Monthly: monthly, Purchased: price - monthly}, nil
}
