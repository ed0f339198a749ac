package app_test

import (
	"testing"

	"github.com/redrive/redrive/internal/testkit/property"
)

func TestMain(m *testing.M) { property.Main(m, "300", "40") }
