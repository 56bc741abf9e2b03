// Package crd holds the CustomResourceDefinition of MailAccounts, as make generate writes it.
package crd

import _ "embed"

// MailAccounts is the CustomResourceDefinition, in YAML.
//
//go:embed sluice.dev_mailaccounts.yaml
var MailAccounts []byte
