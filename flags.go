package main

// This file holds the flags that every command takes.

import (
	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

// addFlags declares the flags that every command takes.
func (p *program) addFlags(app *kingpin.Application) {
	app.Flag("config.file", "Configuration: a file, a directory of *.yml and *.yaml files, or a pattern. Default: "+defaultConfig+", else "+serviceConfig+".").StringVar(&p.configFile)
	app.Flag("config.check", "Check the configuration, print what would be probed, and exit.").BoolVar(&p.check)
	app.Flag("syntax-only", "With --config.check: leave secret, certificate and key files alone, for machines that do not have them.").BoolVar(&p.syntaxOnly)
	app.Flag("config.enable-auto-reload", "Reload the configuration when one of its files has changed.").BoolVar(&p.autoReload)
	app.Flag("config.auto-reload-interval", "How often to check whether a file has changed.").Default("30s").DurationVar(&p.reloadEvery)
	app.Flag("state.file", "File that keeps account holds across restarts; empty: they are not kept. With probe and the configuration of the service, its file is found.").IsSetByUser(&p.stateGiven).StringVar(&p.stateFile)
	app.Flag("shard", "Share of the connections to probe, I/N with I from 0 to N-1; ordinal/N takes I from the end of the host name, as in a StatefulSet. Empty: all.").StringVar(&p.shard)
	app.Flag("web.telemetry-path", "Path under which metrics are served.").Default("/metrics").StringVar(&p.telemetryPath)
	app.Flag("web.external-url", "URL under which Prometheus reaches mailprobe, for /sd behind a proxy; empty: from the request's Host header.").URLVar(&p.externalURL)
	app.Flag("web.enable-retry", "Allow POST requests to /-/retry to end the hold of a refused login.").BoolVar(&p.retry)
	app.Flag("web.pprof-address", "Loopback address and port on which to serve profiles (pprof); empty: they are not served.").StringVar(&p.pprofAddress)
	p.web = kingpinflag.AddFlags(app, defaultAddress)
	app.GetFlag("web.listen-address").Help("Address to listen on; repeatable. :10925 is every address of this host, 127.0.0.1:10925 or [::1]:10925 only loopback, unix:/run/mailprobe/http.sock a socket in the file system.")
}
