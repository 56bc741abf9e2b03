package v1alpha1_test

import (
	"strings"
)

const (
	typeMeta = "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"

	// Lists, and their items in YAML's braces.
	list    = "apiVersion: v1\nkind: List\nitems:\n"
	ownList = "apiVersion: sluice.dev/v1alpha1\nkind: MailAccountList\nitems:\n"
	braces  = "apiVersion: sluice.dev/v1alpha1, kind: MailAccount, "
	bracesA = "{" + braces + "metadata: {name: a}, spec: {limits: {}}}"
	bracesB = "{" + braces + "metadata: {name: b}, spec: {limits: {}}}"
)

// of is an account with these metadata and this spec, each in YAML's braces.
func of(metadata, spec string) string {
	return typeMeta + "metadata: {" + metadata + "}\nspec: {" + spec + "}\n"
}

func inJSON(metadata, spec string) string {
	return `{"apiVersion": "sluice.dev/v1alpha1", "kind": "MailAccount", ` +
		`"metadata": {` + metadata + `}, "spec": {` + spec + `}}`
}

// Accounts with a name and no limit, in YAML and in JSON.
var (
	yamlA = of("name: a", "limits: {}")
	yamlB = of("name: b", "limits: {}")
	yamlC = of("name: c", "limits: {}")
	jsonA = inJSON(`"name": "a"`, `"limits": {}`)
	jsonB = inJSON(`"name": "b"`, `"limits": {}`)
	jsonC = inJSON(`"name": "c"`, `"limits": {}`)
)

// corpus is what people, editors and programs may write, by what is special about it.
var corpus = map[string]string{
	"as it should be": of("name: a", "limits: {perMinute: 30}"),
	"nothing":         "",
	"a comment":       "# nothing\n---\n\n--- # and nothing\n",
	"null":            "null\n",
	"a text":          "just text",
	"an array":        "- a\n- b\n",
	"JSON's array":    "[{}]",
	"an empty object": "{}",

	"spec missing":             typeMeta + "metadata: {name: a}\n",
	"spec null":                typeMeta + "metadata: {name: a}\nspec:\n",
	"spec empty":               of("name: a", ""),
	"spec a text":              typeMeta + "metadata: {name: a}\nspec: none\n",
	"limits null":              of("name: a", "limits: "),
	"limits an array":          of("name: a", "limits: []"),
	"limits a text":            of("name: a", "limits: none"),
	"no limit":                 yamlA,
	"perDay null":              of("name: a", "limits: {perMinute: 1, perDay: }"),
	"perDay null in JSON":      inJSON(`"name": "a"`, `"limits": {"perDay": null}`),
	"perDay a tilde":           of("name: a", "limits: {perDay: ~}"),
	"behavior null":            of("name: a", "limits: {}, behavior: null"),
	"behavior empty":           of("name: a", `limits: {}, behavior: ""`),
	"behavior in small letter": of("name: a", "limits: {}, behavior: defer"),
	"deferTo null":             of("name: a", "limits: {}, deferTo: null"),
	"deferTo empty":            of("name: a", `limits: {}, deferTo: ""`),
	"suspend null":             of("name: a", "limits: {}, suspend: null"),
	"suspend yes":              of("name: a", "limits: {}, suspend: yes"),
	"suspend on":               of("name: a", "limits: {}, suspend: on"),
	"suspend y":                of("name: a", "limits: {}, suspend: y"),
	"suspend TRUE":             of("name: a", "limits: {}, suspend: TRUE"),
	"suspend quoted":           of("name: a", `limits: {}, suspend: "true"`),
	"suspend 1":                of("name: a", "limits: {}, suspend: 1"),

	"0":                   of("name: a", "limits: {perMinute: 0}"),
	"-1":                  of("name: a", "limits: {perMinute: -1}"),
	"-0":                  of("name: a", "limits: {perMinute: -0}"),
	"1":                   of("name: a", "limits: {perMinute: 1}"),
	"+1":                  of("name: a", "limits: {perMinute: +1}"),
	"30.0":                of("name: a", "limits: {perMinute: 30.0}"),
	"30.0 in JSON":        inJSON(`"name": "a"`, `"limits": {"perMinute": 30.0}`),
	"30.5":                of("name: a", "limits: {perMinute: 30.5}"),
	"0.5":                 of("name: a", "limits: {perMinute: 0.5}"),
	"0.0":                 of("name: a", "limits: {perMinute: 0.0}"),
	"1e3":                 of("name: a", "limits: {perMinute: 1e3}"),
	"1e3 in JSON":         inJSON(`"name": "a"`, `"limits": {"perMinute": 1e3}`),
	"1e400 in JSON":       inJSON(`"name": "a"`, `"limits": {"perMinute": 1e400}`),
	"a text of digits":    of("name: a", `limits: {perMinute: "30"}`),
	"hexadecimal":         of("name: a", "limits: {perMinute: 0x1e}"),
	"octal":               of("name: a", "limits: {perMinute: 036}"),
	"octal of YAML 1.2":   of("name: a", "limits: {perMinute: 0o36}"),
	"binary":              of("name: a", "limits: {perMinute: 0b11110}"),
	"underscores":         of("name: a", "limits: {perMinute: 1_000}"),
	"sexagesimal":         of("name: a", "limits: {perMinute: 1:30}"),
	"infinite":            of("name: a", "limits: {perMinute: .inf}"),
	"not a number":        of("name: a", "limits: {perMinute: .nan}"),
	"2^31-1":              of("name: a", "limits: {perMinute: 2147483647}"),
	"2^31-1 as a float":   of("name: a", "limits: {perMinute: 2147483647.0}"),
	"2^31":                of("name: a", "limits: {perMinute: 2147483648}"),
	"2^31-1 and a half":   of("name: a", "limits: {perMinute: 2147483647.5}"),
	"2^64":                of("name: a", "limits: {perMinute: 18446744073709551616}"),
	"a date for a limit":  of("name: a", "limits: {perMinute: 2026-11-23}"),
	"a number with tag":   of("name: a", `limits: {perMinute: !!int "30"}`),
	"a text with tag":     of("name: a", "limits: {perMinute: !!str 30}"),
	"a tag of one's own":  of("name: a", "limits: {perMinute: !x 30}"),
	"binary for behavior": of("name: a", "limits: {}, behavior: !!binary RGVmZXI="),

	"a name like a date":     of("name: 2026-11-23", "limits: {}"),
	"a name like a time":     of("name: 2026-11-23T00:00:00Z", "limits: {}"),
	"a name like a number":   of("name: 12345", "limits: {}"),
	"a quoted number":        of(`name: "12345"`, "limits: {}"),
	"a name like 1e3":        of("name: 1e3", "limits: {}"),
	"a name like a boolean":  of("name: no", "limits: {}"),
	"a name like null":       of("name: null", "limits: {}"),
	"a name of one letter n": of("name: n", "limits: {}"),
	"a name with dots":       of("name: a.b", "limits: {}"),
	"a name with underscore": of("name: a_b", "limits: {}"),
	"a name in capitals":     of("name: A", "limits: {}"),
	"a name with a slash":    inJSON(`"name": "a\/b"`, `"limits": {}`),
	"an empty name":          of(`name: ""`, "limits: {}"),
	"a name of 253":          of("name: "+strings.Repeat("a", 253), "limits: {}"),
	"a name of 254":          of("name: "+strings.Repeat("a", 254), "limits: {}"),
	"no name":                of("", "limits: {}"),
	"metadata missing":       typeMeta + "spec: {limits: {}}\n",
	"metadata null":          typeMeta + "metadata:\nspec: {limits: {}}\n",
	"metadata a text":        typeMeta + "metadata: a\nspec: {limits: {}}\n",
	"metadata an array":      typeMeta + "metadata: [a]\nspec: {limits: {}}\n",
	"namespace null":         of("name: a, namespace: null", "limits: {}"),
	"namespace empty":        of(`name: a, namespace: ""`, "limits: {}"),
	"namespace a number":     of("name: a, namespace: 123", "limits: {}"),
	"namespace with dots":    of("name: a, namespace: a.b", "limits: {}"),
	"namespace of 64":        of("name: a, namespace: "+strings.Repeat("a", 64), "limits: {}"),
	"generateName and name":  of("name: a, generateName: b-", "limits: {}"),
	"generateName bad":       of("name: a, generateName: B_", "limits: {}"),
	"labels":                 of(`name: a, labels: {a.b/c: d, e: ""}`, "limits: {}"),
	"labels null":            of("name: a, labels: null", "limits: {}"),
	"a label null":           of("name: a, labels: {a: null}", "limits: {}"),
	"a label with a space":   of("name: a, labels: {a: b c}", "limits: {}"),
	"a label of 63": of(
		"name: a, labels: {a: "+strings.Repeat("b", 63)+"}", "limits: {}",
	),
	"a label of 64": of(
		"name: a, labels: {a: "+strings.Repeat("b", 64)+"}", "limits: {}",
	),
	"a label's key bad": of("name: a, labels: {a b: c}", "limits: {}"),
	"a label's key too long": of(
		"name: a, labels: {"+strings.Repeat("b", 64)+": c}", "limits: {}",
	),
	"a label a number":        of("name: a, labels: {a: 1}", "limits: {}"),
	"a label a boolean":       of("name: a, labels: {a: yes}", "limits: {}"),
	"a label a date":          of("name: a, labels: {a: 2026-11-23}", "limits: {}"),
	"a label's key a number":  of("name: a, labels: {1: b}", "limits: {}"),
	"a label's key a boolean": of("name: a, labels: {yes: b}", "limits: {}"),
	"a label's key a date":    of("name: a, labels: {2026-11-23: b}", "limits: {}"),
	"a label's key a float":   of("name: a, labels: {1.5: b}", "limits: {}"),
	"a label's key null":      of("name: a, labels: {null: b}", "limits: {}"),
	"a label's key an array":  of("name: a, labels: {[a]: b}", "limits: {}"),
	"labels an array":         of("name: a, labels: [a]", "limits: {}"),
	"an annotation":           of("name: a, annotations: {a: 'any text, ü'}", "limits: {}"),
	"an annotation a number":  of("name: a, annotations: {a: 1}", "limits: {}"),
	"an annotation an object": of("name: a, annotations: {a: {b: c}}", "limits: {}"),
	"an annotation's key bad": of("name: a, annotations: {a b: c}", "limits: {}"),
	"annotations of 256 KiB": of(
		"name: a, annotations: {a: "+strings.Repeat("b", 256<<10)+"}", "limits: {}",
	),
	"a finalizer":               of("name: a, finalizers: [a.b/c]", "limits: {}"),
	"a finalizer without slash": of("name: a, finalizers: [abc]", "limits: {}"),
	"a finalizer bad":           of("name: a, finalizers: ['a b']", "limits: {}"),
	"finalizers a text":         of("name: a, finalizers: a", "limits: {}"),
	"an owner": of(
		"name: a, ownerReferences: [{apiVersion: v1, kind: Secret, name: s, uid: u}]", "limits: {}",
	),
	"an owner without uid": of(
		"name: a, ownerReferences: [{apiVersion: v1, kind: Secret, name: s}]", "limits: {}",
	),
	"an owner of nothing": of("name: a, ownerReferences: [{}]", "limits: {}"),
	"two controllers": of("name: a, ownerReferences: ["+
		"{apiVersion: v1, kind: Secret, name: s, uid: u, controller: true},"+
		"{apiVersion: v1, kind: Secret, name: t, uid: w, controller: true}]", "limits: {}"),
	"an unknown field of metadata": of("name: a, title: b", "limits: {}"),
	"what the server set": of(`name: a, uid: u, resourceVersion: "7", generation: 5, `+
		`creationTimestamp: "2026-11-23T07:58:12Z",selfLink: /x`, "limits: {}"),
	"a negative generation": of("name: a, generation: -1", "limits: {}"),
	"a creation time bad":   of("name: a, creationTimestamp: yesterday", "limits: {}"),
	"a creation time null":  of("name: a, creationTimestamp: null", "limits: {}"),
	"a deletion time": of(
		`name: a, deletionTimestamp: "2026-11-23T07:58:12Z", deletionGracePeriodSeconds: 5`,
		"limits: {}",
	),
	"managed fields": of("name: a, managedFields: [{manager: m, operation: Update, "+
		"apiVersion: sluice.dev/v1alpha1, fieldsType: FieldsV1, fieldsV1: {}}]", "limits: {}"),
	"managed fields bad": of("name: a, managedFields: [{manager: m, operation: No}]", "limits: {}"),

	"status":         yamlA + "status: {observedGeneration: 1}\n",
	"status empty":   yamlA + "status: {}\n",
	"status null":    yamlA + "status:\n",
	"status bad":     yamlA + "status: {observedGeneration: -1, conditions: [{}]}\n",
	"status a text":  yamlA + "status: ready\n",
	"status unknown": yamlA + "status: {usage: 1}\n",

	"an unknown field":             of("name: a", "limits: {perFortnight: 1}"),
	"an unknown field null":        of("name: a", "limits: {perFortnight: null}"),
	"an unknown field of the spec": of("name: a", "limits: {}, behaviour: Defer"),
	"an unknown field at the top":  yamlA + "data: {}\n",
	"a field in other letters":     of("name: a", "Limits: {}"),
	"kind in other letters":        strings.Replace(yamlA, "kind", "Kind", 1),
	"a key a number":               of("name: a", "limits: {1: 2}"),
	"a key true":                   of("name: a", "limits: {true: 2}"),

	"another version":        strings.Replace(yamlA, "v1alpha1", "v1beta9", 1),
	"another kind":           strings.Replace(yamlA, "MailAccount", "MailBox", 1),
	"no kind":                strings.Replace(yamlA, "kind: MailAccount\n", "", 1),
	"no apiVersion":          strings.Replace(yamlA, "apiVersion: sluice.dev/v1alpha1\n", "", 1),
	"apiVersion of a number": strings.Replace(yamlA, "sluice.dev/v1alpha1", "1", 1),
	"kind null":              strings.Replace(yamlA, "kind: MailAccount", "kind:", 1),

	"anchors": typeMeta + "metadata: {name: &n a}\nspec: {limits: &l {perMinute: 1}}\n",
	"an alias": typeMeta + "metadata: {name: &n a, labels: {x: *n}}\n" +
		"spec: {limits: {perMinute: 1}}\n",
	"a merge key": typeMeta + "metadata: {name: a, labels: &l {x: y}, annotations: " +
		"{<<: *l, z: w}}\nspec: {limits: {perMinute: 1}}\n",
	"an unknown alias":   of("name: *n", "limits: {}"),
	"tabs":               typeMeta + "metadata:\n\tname: a\nspec: {limits: {}}\n",
	"a tab behind":       typeMeta + "metadata: {name: a}\t\nspec:\t{limits: {}}\n",
	"a BOM":              "\ufeff" + yamlA,
	"a BOM before JSON":  "\ufeff" + jsonA,
	"a BOM within":       yamlA + "---\n\ufeff" + yamlB,
	"Windows line ends":  strings.ReplaceAll(yamlA, "\n", "\r\n"),
	"old Mac line ends":  strings.ReplaceAll(yamlA, "\n", "\r"),
	"UTF-16":             utf16(yamlA),
	"not UTF-8":          of("name: a, annotations: {a: \"\xff\"}", "limits: {}"),
	"a NUL":              of("name: a, annotations: {a: \"\x00\"}", "limits: {}"),
	"no line end":        strings.TrimSuffix(yamlA, "\n"),
	"a directive":        "%YAML 1.1\n---\n" + yamlA,
	"documents":          yamlA + "---\n" + of("name: b", "limits: {perDay: 2}"),
	"a comment behind":   "--- # first\n" + yamlA + "---   # second\n" + yamlB + "---\n",
	"content behind ---": "--- {a: b}\n",
	"a text behind ---":  yamlA + "---x\n" + yamlB,
	"--- in a text":      of(`name: a, annotations: {a: "`+"\n---\n"+`"}`, "limits: {}"),
	"a document's end":   yamlA + "...\n",
	"wrong in the second": yamlA + "---\n" + of("name: b", "limits: {perDay: 0}") +
		"---\n" + yamlC,
	"half written": yamlA[:40],

	"JSON":            inJSON(`"name": "a"`, `"limits": {"perMinute": 30}`),
	"JSON over lines": strings.ReplaceAll(jsonA, ", ", ",\n\t"),
	"JSON's escapes": inJSON(
		`"name": "\u0061", "annotations": {"a\/b": "\/ \ud83d\ude00 \u00fc \t"}`, `"limits": {}`,
	),
	"half a surrogate pair": inJSON(
		`"name": "a", "annotations": {"a": "\ud83d"}`, `"limits": {}`,
	),
	"JSON objects":               jsonA + jsonB + "\n" + jsonC,
	"JSON, then YAML":            jsonA + "\n---\n" + yamlB,
	"JSON twice, then YAML":      jsonA + "\n" + jsonB + "\n---\n" + yamlC,
	"JSON, then text":            jsonA + " and more",
	"YAML, then JSON":            yamlA + "---\n" + jsonB,
	"YAML in braces":             bracesA,
	"JSON with a trailing comma": strings.Replace(jsonA, "}}}", "},}}", 1),
	"JSON with a comment":        jsonA + " # a comment\n",
	"JSON that ends early":       jsonA[:50],
	"JSON null, then one":        "{}null" + jsonA,

	"a List": list + "- " + bracesA + "\n" +
		"- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n" +
		"- " + bracesB + "\n",
	"a List as kubectl prints it": `{"apiVersion": "v1", "items": [` +
		inJSON(`"name": "a", "uid": "u", "resourceVersion": "9"`, `"limits": {}`) +
		`], "kind": "List", "metadata": {"resourceVersion": ""}}`,
	"a List without items":     "apiVersion: v1\nkind: List\n",
	"a List of nothing":        "apiVersion: v1\nkind: List\nitems: []\n",
	"a List with items null":   "apiVersion: v1\nkind: List\nitems:\n",
	"a List of a text":         "apiVersion: v1\nkind: List\nitems: [a]\n",
	"a List of null":           "apiVersion: v1\nkind: List\nitems: [null]\n",
	"a List with items a map":  "apiVersion: v1\nkind: List\nitems: {a: b}\n",
	"a List of one wrong":      list + "- {" + braces + "metadata: {name: a}, spec: {}}\n",
	"a List's item typeless":   list + "- {metadata: {name: a}, spec: {limits: {}}}\n",
	"a List in a List":         list + "- {apiVersion: v1, kind: List, items: []}\n",
	"a MailAccountList":        ownList + "- {metadata: {name: a}, spec: {limits: {}}}\n",
	"a MailAccountList, typed": ownList + "- " + bracesA + "\n",
	"a MailAccountList, half": ownList +
		"- {kind: MailAccount, metadata: {name: a}, spec: {limits: {}}}\n",
	"a MailAccountList, wrong": ownList + "- {metadata: {name: a}, spec: {limits: {perDay: 0}}}\n",
	"a MailAccountList, later": strings.Replace(ownList, "v1alpha1", "v1beta9", 1) +
		"- {metadata: {name: a}, spec: {limits: {}}}\n",
	"an account with items": yamlA + "items: [{}]\n",
}

// stricter is what the folder refuses, and kubectl takes, with the reason.
var stricter = map[string]struct{ content, why string }{
	"a field twice": {typeMeta + "metadata: {name: a}\nspec:\n" +
		"  limits: {perDay: 1}\n  limits: {perDay: 2}\n",
		"kubectl drops one of them before the API server, which would refuse them, sees it"},
	"a field twice in JSON": {
		inJSON(`"name": "a"`, `"limits": {"perDay": 1, "perDay": 2}`), "likewise",
	},
	"text after the end": {yamlA + "...\n" + yamlB,
		"kubectl leaves the second account out in silence"},
	"generateName": {
		of("generateName: a-", "limits: {}"),
		"each reading would be another account; kubectl apply refuses it, too",
	},
}

func utf16(text string) string {
	out := "\xff\xfe"
	for _, b := range []byte(text) {
		out += string([]byte{b, 0})
	}
	return out
}
