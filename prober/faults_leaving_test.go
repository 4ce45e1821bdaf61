package prober

func leavingFaults() []faultRow { return nil }
