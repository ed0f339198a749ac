package core

import (
	"strings"
	"time"
	"unicode/utf8"
)

// TenantID names a tenant. Every row of a tenant carries it.
type TenantID string

// Tenant owns templates, runs and credits.
type Tenant struct {
	ID   TenantID
	Name string
	// MonthlyAllowance is granted for every period by the refill; 0 grants nothing by itself.
	MonthlyAllowance Credits
	CreatedAt        time.Time
	// SuspendedAt is when the tenant was suspended: no attempt begins, and nothing is
	// charged, until it is reopened. Zero unless it is.
	SuspendedAt     time.Time
	SuspendedReason string // as an administrator gave it; empty unless it is suspended
}

// Suspended reports whether the tenant is suspended.
func (t Tenant) Suspended() bool { return !t.SuspendedAt.IsZero() }

// NewTenant checks the fields and gives the tenant to be stored.
func NewTenant(id TenantID, name string, monthlyAllowance Credits, now time.Time) (Tenant, error) {
	return Tenant{ID: id, Name: name, MonthlyAllowance: monthlyAllowance, CreatedAt: now}.validated()
}

func (t Tenant) validated() (Tenant, error) {
	var wrong []FieldError
	wrong = append(wrong, checkID("id", string(t.ID))...)
	wrong = append(wrong, checkName("name", t.Name)...)
	if t.MonthlyAllowance < 0 {
		wrong = append(wrong, FieldError{"monthlyAllowance", "must be 0 or more credits"})
	}
	if err := Invalid(wrong...); err != nil {
		return Tenant{}, err
	}
	return t, nil
}

// TenantChange is a change of a tenant; nil leaves a field as it is.
type TenantChange struct {
	Name *string
	// MonthlyAllowance is that of every period that was not granted yet: what was granted
	// stays.
	MonthlyAllowance *Credits
}

// Change gives the tenant with the change applied. It fails with CodeInvalidRequest.
func (t Tenant) Change(c TenantChange) (Tenant, error) {
	if c.Name != nil {
		t.Name = *c.Name
	}
	if c.MonthlyAllowance != nil {
		t.MonthlyAllowance = *c.MonthlyAllowance
	}
	return t.validated()
}

// MaxReasonLength is the most characters of a reason that an administrator gives.
const MaxReasonLength = 500

// Suspend keeps the tenant from beginning attempts and being charged (spec 7). What runs
// goes on to its end. A suspended tenant gets the new reason, and stays suspended since
// then. It fails with CodeInvalidRequest.
func (t Tenant) Suspend(reason string, now time.Time) (Tenant, error) {
	if err := checkReason(reason); err != nil {
		return Tenant{}, err
	}
	t.SuspendedReason = reason
	if !t.Suspended() {
		t.SuspendedAt = now
	}
	return t, nil
}

// Reopen ends a suspension; of a tenant that is open it changes nothing.
func (t Tenant) Reopen() Tenant {
	t.SuspendedAt, t.SuspendedReason = time.Time{}, ""
	return t
}

func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" || utf8.RuneCountInString(reason) > MaxReasonLength {
		return InvalidField("reason", "must have 1 to %d characters", MaxReasonLength)
	}
	return Invalid(checkText("reason", reason)...)
}

// mayStart refuses whatever begins an attempt of a suspended tenant, whether it costs
// something or not. The balance is one that was read under the tenant's lock.
func (b Balance) mayStart() error {
	if b.Suspended {
		return &Error{Code: CodeTenantSuspended, Message: suspendedMessage}
	}
	return nil
}

// NotSuspended fails with CodeTenantSuspended if the tenant is suspended.
func (t Tenant) NotSuspended() error { return Balance{Suspended: t.Suspended()}.mayStart() }

const suspendedMessage = "the tenant is suspended, so nothing was started or charged; what runs goes on to its end, and a platform admin can reopen the tenant"
