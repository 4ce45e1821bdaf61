// Command sbom writes the bill of materials of a Go binary as CycloneDX JSON: the
// modules that the linker recorded in it. Run it as: sbom BINARY VERSION.
package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY VERSION")
		os.Exit(2)
	}
	info, err := buildinfo.ReadFile(os.Args[1])
	if err == nil {
		err = write(os.Stdout, info, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write writes the bill of a binary of a version. It has no time and no serial
// number, so that the same binary has the same bill.
func write(w io.Writer, info *debug.BuildInfo, version string) error {
	bill := cyclonedx.NewBOM()
	main := module(cyclonedx.ComponentTypeApplication, info.Main.Path, version)
	bill.Metadata = &cyclonedx.Metadata{Component: &main}
	standard := module(cyclonedx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"))
	components := []cyclonedx.Component{standard}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		component := module(cyclonedx.ComponentTypeLibrary, dependency.Path, dependency.Version)
		if dependency.Sum != "" {
			// Not a hash of a file, as a component's hashes are: see go.sum.
			component.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: dependency.Sum}}
		}
		components = append(components, component)
	}
	bill.Components = &components
	needed := make([]string, len(components))
	for i, component := range components {
		needed[i] = component.BOMRef
	}
	bill.Dependencies = &[]cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &needed}}
	encoder := cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true)
	return encoder.EncodeVersion(bill, cyclonedx.SpecVersion1_6)
}

func module(kind cyclonedx.ComponentType, path, version string) cyclonedx.Component {
	url := "pkg:golang/" + path + "@" + version
	return cyclonedx.Component{BOMRef: url, Type: kind, Name: path, Version: version, PackageURL: url}
}
