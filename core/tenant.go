package core

import "time"

// TenantID names a tenant. Every row of a tenant carries it.
type TenantID string

// Tenant owns templates, runs and credits.
type Tenant struct {
	ID   TenantID
	Name string
	// MonthlyAllowance is granted for every period by the refill; 0 grants nothing by itself.
	MonthlyAllowance Credits
	CreatedAt        time.Time
}

// NewTenant checks the fields and gives the tenant to be stored.
func NewTenant(id TenantID, name string, monthlyAllowance Credits, now time.Time) (Tenant, error) {
	var wrong []FieldError
	wrong = append(wrong, checkID("id", string(id))...)
	wrong = append(wrong, checkName("name", name)...)
	if monthlyAllowance < 0 {
		wrong = append(wrong, FieldError{"monthlyAllowance", "must be 0 or more credits"})
	}
	if err := Invalid(wrong...); err != nil {
		return Tenant{}, err
	}
	return Tenant{ID: id, Name: name, MonthlyAllowance: monthlyAllowance, CreatedAt: now}, nil
}
