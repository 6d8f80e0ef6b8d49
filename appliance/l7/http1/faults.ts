/**
 * Everything that a message can be refused for. A fault is a constant: refusing allocates
 * nothing. `status` answers a faulty request; a faulty response is always answered by 502.
 */
export interface Fault {
  readonly status: number;
  /** Stable: in logs, counters and the corpus. */
  readonly code: string;
  readonly sentence: string;
}

const fault = (status: number, code: string, sentence: string): Fault =>
  Object.freeze({ status, code, sentence });

export const faults = {
  // Said by the worker's timers, not by a parser
  timeout: fault(408, 'request-timeout', 'The request did not come whole in time.'),
  // Lines
  bareCr: fault(400, 'bare-cr', 'A CR is not followed by LF.'),
  bareLf: fault(400, 'bare-lf', 'A line ends with LF alone; it must end with CR LF.'),
  badSpace: fault(400, 'bad-space', 'The request line has other white space than its two spaces.'),
  badMethod: fault(400, 'bad-method', 'The method has an octet that no token has.'),
  methodTooLong: fault(501, 'method-too-long', 'The method is longer than any that is served.'),
  methodUnknown: fault(501, 'method-unknown', 'This service does not serve the method.'),
  noVersion: fault(400, 'no-version', 'The request line has no HTTP version (HTTP/0.9).'),
  badVersion: fault(400, 'bad-version', 'The HTTP version is malformed.'),
  versionUnknown: fault(505, 'version-unknown', 'Only HTTP/1.1 and HTTP/1.0 are spoken here.'),
  badStatus: fault(502, 'bad-status', 'The status is not three digits from 100 up.'),
  // Target and Host
  targetTooLong: fault(414, 'target-too-long', 'The request line is longer than the limit.'),
  badTarget: fault(400, 'bad-target', 'The request target is in none of the four forms.'),
  badTargetOctet: fault(400, 'bad-target-octet', 'The target has an octet that must be encoded.'),
  badScheme: fault(400, 'bad-scheme', 'The target names another scheme than http or https.'),
  badAuthority: fault(400, 'bad-authority', 'The host or port in the target is malformed.'),
  userInfo: fault(400, 'user-info', 'The target has a user name before its host.'),
  asteriskForm: fault(400, 'asterisk-form', 'Only OPTIONS may have the target "*".'),
  authorityForm: fault(400, 'authority-form', 'CONNECT needs host:port, and no other method does.'),
  noHost: fault(400, 'no-host', 'An HTTP/1.1 request has no Host field.'),
  manyHosts: fault(400, 'many-hosts', 'The request has more than one Host field.'),
  badHost: fault(400, 'bad-host', 'The Host field is empty or malformed.'),
  // Fields
  headTooLarge: fault(431, 'head-too-large', 'The head is larger than the limit.'),
  // Said by the engine, which knows the connection
  certificateTooLarge: fault(
    431,
    'certificate-too-large',
    'What members are told of the client certificate is larger than the limit.',
  ),
  tooManyFields: fault(431, 'too-many-fields', 'The head has more fields than the limit.'),
  obsFold: fault(400, 'obs-fold', 'A line begins with white space (a folded field).'),
  noColon: fault(400, 'no-colon', 'A field line has no colon.'),
  noName: fault(400, 'no-name', 'A field line has no name.'),
  spaceBeforeColon: fault(400, 'space-before-colon', 'White space stands before a colon.'),
  badName: fault(400, 'bad-name', 'A field name has an octet that no token has.'),
  underscoreName: fault(
    400,
    'underscore-name',
    'A field name differs only by its signs, such as "_", from one that Weir decides by.',
  ),
  badValue: fault(400, 'bad-value', 'A field value has a control octet.'),
  // Framing
  badLength: fault(400, 'bad-content-length', 'Content-Length is not a decimal number.'),
  manyLengths: fault(400, 'many-content-lengths', 'Content-Length is there more than once.'),
  lengthOverflow: fault(400, 'content-length-overflow', 'Content-Length is above 2^53 - 1.'),
  bodyTooLarge: fault(413, 'body-too-large', 'The body is larger than the limit.'),
  lengthAndCoding: fault(
    400,
    'length-and-coding',
    'Content-Length and Transfer-Encoding are both there.',
  ),
  badCoding: fault(400, 'bad-transfer-encoding', 'Transfer-Encoding does not end with chunked.'),
  manyCodings: fault(400, 'many-transfer-encodings', 'Transfer-Encoding is there more than once.'),
  codingUnknown: fault(501, 'coding-unknown', 'Of transfer codings, only chunked is served.'),
  codingInOldVersion: fault(
    400,
    'coding-in-http-1.0',
    'Transfer-Encoding is in a message of HTTP/1.0.',
  ),
  bodyNotAllowed: fault(400, 'body-not-allowed', 'CONNECT and TRACE have no body.'),
  // Chunks
  badChunkSize: fault(400, 'bad-chunk-size', 'A chunk size is not a hexadecimal number.'),
  chunkOverflow: fault(400, 'chunk-overflow', 'A chunk size has more digits than the limit.'),
  badChunkExtension: fault(400, 'bad-chunk-extension', 'A chunk extension is malformed.'),
  chunkExtensionTooLarge: fault(
    400,
    'chunk-extension-too-large',
    'Chunk extensions are longer than the limit.',
  ),
  badChunkEnd: fault(400, 'bad-chunk-end', 'The data of a chunk is not followed by CR LF.'),
  // Connection
  badConnection: fault(400, 'bad-connection', 'The Connection field is not a list of tokens.'),
  connectionNames: fault(
    400,
    'connection-names',
    'Connection names a field that no hop may remove, or too many.',
  ),
  expectation: fault(417, 'expectation', 'Of expectations, only 100-continue is served.'),
  badUpgrade: fault(400, 'bad-upgrade', 'The Upgrade field is not a list of protocols.'),
  unaskedSwitch: fault(502, 'unasked-switch', 'The member switched protocols without being asked.'),
} as const satisfies Readonly<Record<string, Fault>>;

/** What a parser says of the bytes that it was given. */
export const progress = { more: 0, done: 1, refused: 2 } as const;
export type Progress = (typeof progress)[keyof typeof progress];
