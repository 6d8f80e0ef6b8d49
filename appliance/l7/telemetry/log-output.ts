/** What the daemon writes lines of the access log to: a file (log-file.ts) or syslog (log-syslog.ts). */

export interface LogFigures {
  /** Lines that were taken, and lines for which there was no room. */
  readonly lines: number;
  readonly dropped: number;
}

/**
 * `trouble`: lines cannot be written, told once and not for each line; `well`: now they can again.
 * Both are a sentence for people.
 */
export type TellLog = (kind: 'trouble' | 'well', sentence: string) => void;

export interface LogOutput {
  readonly figures: LogFigures;
  /** One line with its line feed. False: dropped, for want of room. Never waits. */
  write(bytes: Uint8Array, start: number, end: number): boolean;
  /** No more lines are expected, though some may still come: holds nothing open in between. */
  rest(): void;
  /** Writes what it has, if that can be done now. */
  close(): Promise<void>;
}

/** A sentence's end about an error of the system. */
export function because(error: unknown): { readonly code: string; readonly words: string } {
  const code =
    error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const words = error instanceof Error ? error.message : String(error);
  return { code, words };
}
