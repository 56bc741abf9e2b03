//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	redisClaim   = namespace + "/data-redis-0"
	redisProcess = "^sluice-e2e-redis " // its command line, for killProcess
)

// startRedis starts a Redis on a volume, which writes everything to the disk before it answers. Its
// users are those of examples/redis, with passwords of their own in the Secret redis-users.
func startRedis(t *testing.T) {
	t.Helper()
	users, err := os.ReadFile(filepath.Join("..", "..", "examples", "redis", "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	acl := strings.NewReplacer(">change-me-too ", ">sluice-password ", ">change-me ",
		">admin-password ").Replace(string(users))
	kubectl(t, "create", "secret", "generic", "redis-users", "-n", namespace,
		"--from-literal=users.acl="+acl, "--from-literal=sluice=sluice-password",
		"--from-literal=admin=admin-password")
	must(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: %[1]s}
spec:
  selector: {app: redis}
  ports: [{port: 6379}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis, namespace: %[1]s}
spec:
  serviceName: redis
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: redis
        image: %[2]s
        imagePullPolicy: IfNotPresent
        args: [--dir, /data, --appendonly, "yes", --appendfsync, always, --save, "",
          --aclfile, /users/users.acl, --proc-title-template, "sluice-e2e-redis {listen-addr}"]
        env:
        - {name: REDISCLI_AUTH, valueFrom: {secretKeyRef: {name: redis-users, key: admin}}}
        ports: [{containerPort: 6379}]
        readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts:
        - {name: data, mountPath: /data}
        - {name: users, mountPath: /users}
      volumes:
      - name: users
        secret: {secretName: redis-users, items: [{key: users.acl, path: users.acl}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: ""
      resources: {requests: {storage: 1Gi}}
`, namespace, setting(t, "REDIS_IMAGE")), "kubectl", "apply", "-f", "-")
	waitForRedis(t)
}

func waitForRedis(t *testing.T) {
	t.Helper()
	kubectl(t, "rollout", "status", "-n", namespace, "statefulset/redis", "--timeout=60s")
}

// redisCLI runs redis-cli as the administrator.
func redisCLI(t *testing.T, command ...string) string {
	t.Helper()
	return kubectl(t, append([]string{"exec", "-n", namespace, "redis-0", "--",
		"/bin/redis-cli", "--user", "admin"}, command...)...)
}
