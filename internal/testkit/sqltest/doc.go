// Package sqltest tests the use cases on stores that are SQL databases, by what users are
// answered and by what the database says when it is asked by SQL: the wiring, the way back,
// and everything at once. The stores' own tests use its World too.
package sqltest
