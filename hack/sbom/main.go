// Command sbom writes a software bill of materials of the binaries of Sluice, as CycloneDX in JSON:
//
//	go run ./hack/sbom -version v0.1.0 -out dist/sluice.cdx.json BINARY...
//
// It lists the modules that the linker noted in the binaries, and Go's standard library. Binaries
// for several systems share one bill, and must be of one source and one Go. Equal binaries make an
// equal bill: it holds no serial number and no time.
//
//   - main.go: reads the binaries and writes the bill.
//   - bill.go: what a bill says.
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	version := flag.String("version", "", "the version of Sluice, such as v0.1.0")
	out := flag.String("out", "", "the file to write")
	flag.Parse()
	if *version == "" || *out == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: sbom -version VERSION -out FILE BINARY...")
		os.Exit(2)
	}
	if err := run(*version, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(version, out string, binaries []string) (err error) {
	infos := make([]*debug.BuildInfo, len(binaries))
	for i, binary := range binaries {
		if infos[i], err = buildinfo.ReadFile(binary); err != nil {
			return err
		}
	}
	bom, err := bill(version, infos)
	if err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return cdx.NewBOMEncoder(file, cdx.BOMFileFormatJSON).
		SetPretty(true).
		EncodeVersion(bom, cdx.SpecVersion1_6)
}
