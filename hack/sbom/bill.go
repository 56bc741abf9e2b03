package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// license is the SPDX identifier of Sluice's own license.
const license = "Apache-2.0"

// bill lists what is in the binaries with the given build infos.
func bill(version string, infos []*debug.BuildInfo) (*cdx.BOM, error) {
	first := infos[0]
	if first.Main.Path == "" {
		return nil, errors.New("the binary does not say which module it is of")
	}
	modules := map[string]cdx.Component{}
	add := func(c cdx.Component) { modules[c.BOMRef] = c }
	add(module("std", strings.TrimPrefix(goVersion(first), "go"), ""))
	for _, info := range infos {
		if info.Path != first.Path || info.GoVersion != first.GoVersion {
			return nil, fmt.Errorf("%s by %s and %s by %s are not of one build",
				first.Path, first.GoVersion, info.Path, info.GoVersion)
		}
		for _, dependency := range info.Deps {
			// A replacement is what was compiled.
			dependency = cmp.Or(dependency.Replace, dependency)
			if dependency.Version == "" {
				return nil, fmt.Errorf("%s is a folder and no released version", dependency.Path)
			}
			add(module(dependency.Path, dependency.Version, dependency.Sum))
		}
	}
	refs := slices.Sorted(maps.Keys(modules))
	components := make([]cdx.Component, len(refs))
	for i, ref := range refs {
		components[i] = modules[ref]
	}
	sluice := sluice(first.Main.Path, version)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &sluice}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: sluice.BOMRef, Dependencies: &refs}}
	return bom, nil
}

// goVersion is the Go release of a build, without the names of its experiments.
func goVersion(info *debug.BuildInfo) string {
	release, _, _ := strings.Cut(info.GoVersion, " ")
	return release
}

func sluice(path, version string) cdx.Component {
	c := module(path, version, "")
	c.Type, c.Name = cdx.ComponentTypeApplication, "sluice"
	c.Licenses = &cdx.Licenses{{License: &cdx.License{ID: license}}}
	c.ExternalReferences = &[]cdx.ExternalReference{
		{Type: cdx.ERTypeVCS, URL: "https://" + path},
	}
	return c
}

// module describes a Go module. The sum is that of go.sum, or empty.
func module(path, version, sum string) cdx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cdx.Component{
		BOMRef:     url,
		Type:       cdx.ComponentTypeLibrary,
		Name:       path,
		Version:    version,
		PackageURL: url,
	}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go.sum", Value: sum}}
	}
	return c
}
