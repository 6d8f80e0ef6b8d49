/** PEM (RFC 7468), in bytes: a key never becomes a string on its way. */
const WIDTH = 64;
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const PAD = 0x3d;
const NEWLINE = 0x0a;

export function writePem(label: string, der: Uint8Array): Buffer {
  const length = Math.ceil(der.length / 3) * 4;
  const head = Buffer.from(`-----BEGIN ${label}-----\n`);
  const foot = Buffer.from(`-----END ${label}-----\n`);
  const pem = Buffer.alloc(head.length + length + Math.ceil(length / WIDTH) + foot.length);
  let at = head.copy(pem);
  let column = 0;
  const put = (octet: number): void => {
    pem[at++] = octet;
    if (++column < WIDTH) return;
    pem[at++] = NEWLINE;
    column = 0;
  };
  for (let index = 0; index < der.length; index += 3) {
    const left = der.length - index;
    const [a = 0, b = 0, c = 0] = der.subarray(index, index + 3);
    const group = (a << 16) | (b << 8) | c;
    put(ALPHABET[group >> 18] ?? 0);
    put(ALPHABET[(group >> 12) & 63] ?? 0);
    put(left > 1 ? (ALPHABET[(group >> 6) & 63] ?? 0) : PAD);
    put(left > 2 ? (ALPHABET[group & 63] ?? 0) : PAD);
  }
  if (column > 0) pem[at++] = NEWLINE;
  foot.copy(pem, at);
  return pem;
}
