package postgres

// Placement says where the rows of a table are on Citus.
type Placement string

const (
	// ByTenant is for what belongs to a tenant: all of its rows, of all tables, are on one
	// node, so that a transaction of a tenant is one of that node alone.
	ByTenant Placement = "by tenant"
	// OnCoordinator is for what is found before it is known whose it is, and for the queue,
	// which all servers take from.
	OnCoordinator Placement = "coordinator"
)

// placements has every table of the schema. A new table without a line here fails a test,
// since nobody would have thought of where it is to be.
//
// Tables come after those that their foreign keys refer to: Citus distributes them in that
// order.
var placements = []struct {
	table string
	is    Placement
}{
	{"tenants", ByTenant},
	{"credits", ByTenant},
	{"allowances", ByTenant},
	{"templates", ByTenant},
	{"template_versions", ByTenant},
	{"runs", ByTenant},
	{"files", ByTenant},
	{"attempts", ByTenant},
	{"attempt_file_rows", ByTenant},
	{"amendments", ByTenant},
	{"ledger", ByTenant},
	{"answers", ByTenant},
	{"replies", ByTenant},
	{"api_keys", ByTenant},
	{"audit_log", ByTenant},
	{"webhook_endpoints", ByTenant},
	{"webhook_deliveries", ByTenant},
	{"bulk_parts", ByTenant},
	{"bulk_runs", ByTenant},
	{"moves", ByTenant}, // the triggers of the others read it, so it is where they are

	{"run_owners", OnCoordinator}, // of IDs that could be another tenant's too, see directory.go
	{"bulk_continues", OnCoordinator},
	{"bulk_replies", OnCoordinator},
	{"sessions", OnCoordinator},
	{"event_tickets", OnCoordinator},
	{"queue_jobs", OnCoordinator},
	{"queue_messages", OnCoordinator},
	{"queue_dead", OnCoordinator},
	{"schema_migrations", OnCoordinator},
}

// Placements gives the placement of every table of the schema, by its name.
func Placements() map[string]Placement {
	all := make(map[string]Placement, len(placements))
	for _, p := range placements {
		all[p.table] = p.is
	}
	return all
}
