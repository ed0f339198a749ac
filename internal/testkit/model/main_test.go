package model_test

import (
	"testing"

	"github.com/redrive/redrive/internal/testkit/property"
)

func TestMain(m *testing.M) { property.Main(m, "2000", "30") }
