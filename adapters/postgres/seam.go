package postgres

import "strings"

// What is different on Citus is in this file and in layout.go, placement.go, directory.go and
// nodes.go; elsewhere a statement is the same on both, or asks these.

// Citus has two rules that plain Postgres does not know. A statement goes to the node that
// has the tenant only if each of its tables is compared with the tenant as a constant: that
// it is joined with something that has the tenant does not suffice. And a statement writes
// one table: what a common table expression writes beside it goes through the coordinator,
// and commits in two phases. On plain Postgres the constant would mislead the planner (see
// files.go), and several statements cost more than one.

// ofTenant is added to a statement that names rows of a table by a list.
func ofTenant(citus bool, alias string) string {
	if !citus {
		return ""
	}
	return ` AND ` + alias + `.tenant_id = $1`
}

// of names the table whose tenant a condition of across or sweep is about.
func of(and, alias string) string {
	return strings.ReplaceAll(and, "?", alias+".tenant_id")
}
