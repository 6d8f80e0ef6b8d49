/**
 * Looking for a text in what a member sends, piece by piece.
 *
 * Invariant: at most MOST_ANSWER_BYTES are kept, and a text that spans pieces is found.
 */
import { MOST_ANSWER_BYTES } from './verdict.js';

export class AnswerSearch {
  readonly #wanted: Buffer;
  #answer = Buffer.alloc(0);

  constructor(wanted: string) {
    this.#wanted = Buffer.from(wanted);
  }

  add(chunk: Uint8Array): 'found' | 'more' | 'too-long' {
    this.#answer = Buffer.concat([this.#answer, chunk]);
    if (this.#answer.subarray(0, MOST_ANSWER_BYTES).includes(this.#wanted)) return 'found';
    return this.#answer.length > MOST_ANSWER_BYTES ? 'too-long' : 'more';
  }
}
