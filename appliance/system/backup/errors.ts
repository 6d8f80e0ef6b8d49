/** A backup that cannot be made, read or restored; the message is a sentence for people. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}
