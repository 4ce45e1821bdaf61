package prober

// protocolFacts is what is special about a protocol before the first byte.
type protocolFacts struct {
	ports map[Encryption]int
}

// protocols lists every protocol. A fourth one is a line here and a file.
var protocols = map[Protocol]protocolFacts{
	IMAP: {ports: map[Encryption]int{NoEncryption: 143, StartTLS: 143, ImplicitTLS: 993}},
	POP3: {ports: map[Encryption]int{NoEncryption: 110, StartTLS: 110, ImplicitTLS: 995}},
	SMTP: {ports: map[Encryption]int{NoEncryption: 25, StartTLS: 587, ImplicitTLS: 465}},
}
