package main

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// withHelm leaves a test that is mostly Helm out with -short: there are no races of ours in it.
func withHelm(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it runs Helm again and again: see it without -short")
	}
}

// A value that the chart renders and the program refuses would be an upgrade that takes a good pod
// away for one that cannot start. One that only the chart refuses could not be used.
func TestChartAndProgramTakeTheSameValues(t *testing.T) {
	withHelm(t)
	variables := map[string]string{
		"reservationTTL":         "SLUICE_RESERVATION_TTL",
		"maxReservations":        "SLUICE_MAX_RESERVATIONS",
		"log.format":             "SLUICE_LOG_FORMAT",
		"log.level":              "SLUICE_LOG_LEVEL",
		"leaderElection.enabled": "SLUICE_LEADER_ELECT",
		"store.sync":             "SLUICE_SYNC",
		"auth.audience":          "SLUICE_AUTH_AUDIENCE",
		"tls.minVersion":         "SLUICE_TLS_MIN_VERSION",
		"redis.timeout":          "SLUICE_REDIS_TIMEOUT",
		"redis.prefix":           "SLUICE_REDIS_PREFIX",
		"redis.waitReplicas":     "SLUICE_REDIS_WAIT_REPLICAS",
		"redis.waitFsync":        "SLUICE_REDIS_WAIT_FSYNC",
	}
	for _, test := range []struct {
		value   string // a value of the chart
		setting string // what the program is given for it
		text    string // the value as YAML, if that is another text
		takes   bool
	}{
		{"reservationTTL", "1s", "", true},
		{"reservationTTL", "1000ms", "", true},
		{"reservationTTL", "999ms", "", false},
		{"reservationTTL", "0.9s", "", false},
		{"reservationTTL", "1m30.5s", "", true},
		{"reservationTTL", ".25h", "", true},
		{"reservationTTL", "+2m", "", true},
		{"reservationTTL", "2000000µs", "", true},
		{"reservationTTL", "15m", "", true},
		{"reservationTTL", "900s", "", true},
		{"reservationTTL", "15m1ns", "", false},
		{"reservationTTL", "30m", "", false},
		{"reservationTTL", "0s", "", false},
		{"reservationTTL", "-2m", "", false},
		{"reservationTTL", "99999999999h", "", false},
		{"reservationTTL", "120", `"120"`, false},
		{"reservationTTL", "", `""`, false},
		{"reservationTTL", "2 m", "", false},
		{"maxReservations", "1", "", true},
		{"maxReservations", "0", "", false},
		{"maxReservations", "-1", "", false},
		{"maxReservations", "1000000", "1e6", true},
		{"maxReservations", "1000000000", "", true},
		{"maxReservations", "1000000001", "", false},
		{"maxReservations", "1e30", "", false},
		{"maxReservations", "1.5", "", false},
		{"maxReservations", "many", "", false},
		{"log.format", "text", "", true},
		{"log.format", "JSON", "", false},
		{"log.format", "", `""`, false},
		{"log.level", "debug", "", true},
		{"log.level", "error", "", true},
		{"log.level", "warn", "", false},
		{"leaderElection.enabled", "false", "", true},
		{"leaderElection.enabled", "perhaps", "", false},
		{"store.sync", "always", "", true},
		{"store.sync", "1ms", "", true},
		{"store.sync", "1000us", "", true},
		{"store.sync", "999999ns", "", false},
		{"store.sync", "+0.1s", "", true},
		{"store.sync", "10s", "", true},
		{"store.sync", "10s1ns", "", false},
		{"store.sync", "0s", "", false},
		{"store.sync", "-1s", "", false},
		{"store.sync", "99999999999h", "", false},
		{"store.sync", "100", `"100"`, false},
		{"store.sync", "Always", "", false},
		{"store.sync", "never", "", false},
		{"store.sync", "", `""`, false},
		{"auth.audience", "https://limits.example.com/", "", true},
		{"auth.audience", strings.Repeat("a", 253), "", true},
		{"auth.audience", strings.Repeat("a", 254), "", false},
		{"auth.audience", "two words", "", false},
		{"auth.audience", "", `""`, false},
		{"tls.minVersion", "1.2", `"1.2"`, true},
		{"tls.minVersion", "1.1", `"1.1"`, false},
		{"redis.timeout", "10ms", "", true},
		{"redis.timeout", "10s", "", true},
		{"redis.prefix", "mail.v2", "", true},
		{"redis.waitReplicas", "2", "", true},
		{"redis.waitFsync", "true", "", true},
		{"extraArgs", "serve", "[serve]", false},
		{"extraArgs", "--lease-namespace=mail", "[--lease-namespace=mail]", true},
	} {
		t.Run(test.value+" "+test.setting, func(t *testing.T) {
			t.Parallel()
			args, environment := []string{test.setting}, map[string]string{}
			variable := variables[test.value]
			if variable != "" {
				// There is nothing to sync without a journal.
				args, environment = nil, map[string]string{
					variable: test.setting, "SLUICE_DATA_DIR": "/var/lib/sluice",
				}
			}
			if strings.HasPrefix(test.value, "tls.") {
				environment["SLUICE_TLS_CERT_FILE"], environment["SLUICE_TLS_KEY_FILE"] = "c", "k"
			}
			if strings.HasPrefix(test.value, "redis.") {
				args, environment = nil, map[string]string{
					variable: test.setting, "SLUICE_REDIS_URL": "redis://valkey:6379",
				}
			}
			if err := accepts(args, environment); (err == nil) != test.takes {
				t.Errorf("the program, given %v %v, says %v", args, environment, err)
			}
			args, environment, err := fromChart(t, test.value, cmp.Or(test.text, test.setting))
			if (err == nil) != test.takes {
				t.Fatalf("the chart says %v", err)
			}
			if err != nil {
				return
			}
			if err := accepts(args, environment); err != nil {
				t.Errorf("the chart gives the program %v %v, which says %v", args, environment, err)
			}
			if got := environment[variable]; variable != "" && got != test.setting {
				t.Errorf("the chart sets %s to %q, want %q", variable, got, test.setting)
			}
		})
	}
}

// Whoever adds a flag decides whether extraArgs and extraEnv may set it.
func TestChartKnowsTheFlags(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart, "templates", "_environment.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	// The chart leaves these to extraArgs and extraEnv.
	free := []string{
		"SLUICE_ACCEPT_LOSS", "SLUICE_LEASE_NAMESPACE", "SLUICE_MAX_CONNECTIONS", "SLUICE_MAX_IN_FLIGHT",
		"SLUICE_MAX_RESERVATIONS_PER_ACCOUNT", "SLUICE_TRUST_CLOCK",
	}
	var c config
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	c.register(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f)
		if !slices.Contains(free, name) && !bytes.Contains(text, []byte("\n"+name+": {")) {
			t.Errorf("sluice.settings in the chart's _environment.tpl says nothing of %s", name)
		}
	})
}

const chart = "../../charts/sluice"

// accepts is what the program says of its settings before it starts anything.
func accepts(args []string, environment map[string]string) error {
	var c config
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("unknown command") // cobra.NoArgs
	}
	env := func(name string) (string, bool) { value, set := environment[name]; return value, set }
	if err := fromEnvironment(flags, env); err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	_, err := c.logger(io.Discard)
	return err
}

// fromChart renders the chart with one value, and returns what the program is given.
func fromChart(
	t *testing.T, value, text string,
) (args []string, environment map[string]string, err error) {
	t.Helper()
	words := strings.Split(value, ".")
	slices.Reverse(words)
	for _, word := range words {
		text = "{" + word + ": " + text + "}"
	}
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := []string{
		"tool", "-modfile=../../go.tools.mod", "helm.sh/helm/v4/cmd/helm",
		"template", "sluice", chart, "--values", values,
	}
	if strings.HasPrefix(value, "tls.") {
		command = append(command, "--set", "tls.type=helm")
	}
	if strings.HasPrefix(value, "redis.") {
		command = append(command, "--set", "store.type=redis,redis.host=valkey",
			"--show-only", "templates/deployment.yaml")
	} else {
		command = append(command, "--show-only", "templates/statefulset.yaml")
	}
	helm := exec.CommandContext(t.Context(), "go", command...)
	helm.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir())
	var stderr bytes.Buffer
	helm.Stderr = &stderr
	manifest, err := helm.Output()
	if err != nil {
		if !strings.Contains(stderr.String(), words[len(words)-1]) {
			t.Errorf("the chart's refusal does not name the value: %s", stderr.String())
		}
		return nil, nil, errors.New(stderr.String())
	}
	var workload struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(manifest, &workload); err != nil {
		t.Fatal(err)
	}
	container := workload.Spec.Template.Spec.Containers[0]
	environment = map[string]string{}
	for _, variable := range container.Env {
		environment[variable.Name] = variable.Value
	}
	return container.Args[1:], environment, nil // without "serve"
}
