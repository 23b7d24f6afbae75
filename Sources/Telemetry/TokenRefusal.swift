// Why a sender's token lets it in nowhere: the words of every protocol that carries tokens.

/// Why a sender is refused; the text goes to the sender and into the counters.
public enum TokenRefusal: String, CaseIterable, Sendable {
  case missing = "a token is required, and none was sent"
  case invalid = "the token is not valid"
  case revoked = "the token is revoked"
  case otherSource = "the token is bound to another source"
  case unreadable = "the tokens can't be read from PostgreSQL now"
  /// The protocol has no place for a token.
  case impossible = "a token is required, and this protocol can't carry one"

  /// What an operator does about it.
  public var mend: String {
    switch self {
    case .missing: "hactl token add SOURCE, and give it to the sender; or hactl config set require_tokens off"
    case .invalid: "give the sender the token as hactl token add printed it, or a new one"
    case .revoked: "hactl token add SOURCE, and give it to the sender, if it may still send"
    case .otherSource: "hactl token list shows what it is bound to; make one for this source: hactl token add SOURCE"
    case .unreadable: "mend the way to PostgreSQL; the sender comes again by itself"
    case .impossible: "let it in with hactl config set open_protocols, or send by another protocol"
    }
  }
}
