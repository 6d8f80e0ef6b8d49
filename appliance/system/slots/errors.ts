/** A refusal that its reader can act on: a sentence. Nothing of the running slot was changed. */
export class UpgradeError extends Error {
  override readonly name = 'UpgradeError';
  readonly code:
    'not-a-bundle' | 'damaged' | 'untrusted' | 'version' | 'space' | 'busy' | 'missing' | 'disk';

  constructor(code: UpgradeError['code'], message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
