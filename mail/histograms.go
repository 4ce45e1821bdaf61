package mail

// Histograms says which buckets the histograms of durations have: the words of
// `metrics.histograms` in the configuration.
type Histograms string

// The values of Histograms. Native buckets reach Prometheus by protobuf only;
// text shows such a histogram's count and sum.
const (
	HistogramsBoth    Histograms = "both"
	HistogramsNative  Histograms = "native"
	HistogramsClassic Histograms = "classic"
	HistogramsNone    Histograms = "none"
)

// Native reports whether there are native buckets.
func (h Histograms) Native() bool { return h == HistogramsNative || h == HistogramsBoth }

// Classic reports whether there are classic buckets.
func (h Histograms) Classic() bool { return h == HistogramsClassic || h == HistogramsBoth }
