// A module of its own, as an embedder has one: what it can import, and what comes along,
// is what he gets. Nothing of it is in Redrive's own graph.
module example.com/embedder

go 1.26.0

require (
	github.com/redrive/redrive v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/google/uuid v1.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/redrive/redrive => ../..
