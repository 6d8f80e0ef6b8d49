/**
 * The head of an answer as the load reads it: by itself, so that what is measured does not also
 * judge. RFC 9112 §4 and §6.2, of messages that proxies write: no folding, no other framing.
 *
 * Invariant: nothing is allocated, unless a cookie is looked for or something is wrong.
 */
export interface AnswerHead {
  /** Where the body begins. */
  end: number;
  /** Content-Length. */
  length: number;
  /** The cookie that was looked for: its name and value. */
  cookie: string | null;
}

const [LF, CR, COLON, SPACE, ZERO] = [10, 13, 58, 32, 48];
const statusLine = Buffer.from('HTTP/1.1 200 ');
const contentLength = Buffer.from('content-length');
const setCookie = Buffer.from('set-cookie');
const transferEncoding = Buffer.from('transfer-encoding');

/** Whether a field's name is at `at`; letters in any case. */
function isName(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i += 1) {
    if (((bytes[at + i] as number) | 0x20) !== name[i]) return false;
  }
  return bytes[at + name.length] === COLON;
}

function text(bytes: Uint8Array, from: number, end: number): string {
  return Buffer.from(bytes.subarray(from, end)).toString('latin1');
}

/**
 * Reads a head into `head`; false: it is not whole yet. `cookie`: the name of one that is looked
 * for. Throws when it is not a 200 with a length.
 */
export function readAnswer(
  head: AnswerHead,
  bytes: Uint8Array,
  from: number,
  end: number,
  cookie: string | null,
): boolean {
  for (let i = 0; i < statusLine.length && from + i < end; i += 1) {
    if (bytes[from + i] !== statusLine[i]) {
      const line = text(bytes, from, Math.min(end, from + 300)).split('\r\n', 1)[0];
      throw new Error(`an answer begins with "${line ?? ''}"`);
    }
  }
  head.length = -1;
  head.cookie = null;
  let at = from;
  for (;;) {
    while (at < end && bytes[at] !== LF) at += 1;
    at += 1;
    if (at + 1 >= end) return false;
    if (bytes[at] === CR && bytes[at + 1] === LF) break;
    const first = (bytes[at] as number) | 0x20;
    if (first === 0x63 && end - at > 16 && isName(bytes, at, contentLength)) {
      let value = at + 15;
      while (bytes[value] === SPACE) value += 1;
      let length = 0;
      for (; value < end && bytes[value] !== CR; value += 1) {
        length = length * 10 + ((bytes[value] as number) - ZERO);
      }
      head.length = length;
    } else if (first === 0x73 && cookie !== null && end - at > 12 && isName(bytes, at, setCookie)) {
      let stop = at;
      while (stop < end && bytes[stop] !== CR) stop += 1;
      const pair =
        text(bytes, at + 11, stop)
          .trim()
          .split(';', 1)[0] ?? '';
      // A pool's own cookie may have the name with something behind it.
      if (pair.startsWith(`${cookie}=`) || pair.startsWith(`${cookie}-`)) head.cookie = pair;
    } else if (first === 0x74 && end - at > 19 && isName(bytes, at, transferEncoding)) {
      throw new Error('an answer came with Transfer-Encoding where the member gave a length');
    }
  }
  if (head.length < 0) throw new Error(`an answer has no Content-Length: ${text(bytes, from, at)}`);
  head.end = at + 2;
  return true;
}
