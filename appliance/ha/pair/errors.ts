/** What can go wrong with the pair, as a sentence for the administrator and a code. */
export type PairErrorCode =
  /** What was given is no code or no address. */
  | 'invalid'
  /** The unit is paired already, or is not. */
  | 'conflict'
  /** The other unit, or what is stored here, cannot be used now. */
  | 'unavailable';

export class PairError extends Error {
  override readonly name = 'PairError';
  readonly code: PairErrorCode;

  constructor(code: PairErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
