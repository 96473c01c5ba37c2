//go:build tools

// Package reference names the reference body-based router, so that go.mod pins its version and go.sum its bytes.
package reference

import _ "sigs.k8s.io/gateway-api-inference-extension/cmd/bbr"
