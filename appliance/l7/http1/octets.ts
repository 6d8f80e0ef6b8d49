/**
 * What each octet may be: RFC 9110 §5.6.2 (tokens), §5.5 (field values), RFC 3986 §2
 * (targets and hosts), as tables of 256 entries.
 *
 * Invariant: no table has CR, LF or NUL in it, so whatever a table lets through can be
 * written into a head again without ending a line.
 */

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const HT = 0x09;
export const COLON = 0x3a;
export const COMMA = 0x2c;
export const SEMICOLON = 0x3b;
export const SLASH = 0x2f;
export const QUOTE = 0x22;
export const BACKSLASH = 0x5c;

function tableOf(allowed: (octet: number, char: string) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, octet) => allowed(octet, String.fromCharCode(octet)));
}

const lower = (octet: number): number => (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet);
const isTokenChar = (char: string): boolean => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char);

/** A token's octet in lower case, or 0. */
export const tokenLower = tableOf((octet, char) => (isTokenChar(char) ? lower(octet) : 0));

/**
 * The same with all signs as "-": names that CGI-like programs cannot tell apart are one. Most make
 * "_" of "-" (RFC 3875 §4.1.18), some of every sign.
 */
export const nameFold = tableOf((octet, char) =>
  !isTokenChar(char) ? 0 : /[0-9A-Za-z]/.test(char) ? lower(octet) : 0x2d,
);

/** 1: may be in a field value or a reason phrase (HTAB, SP, VCHAR, obs-text). */
export const valueOctet = tableOf((octet) =>
  octet === HT || (octet >= 0x20 && octet !== 0x7f) ? 1 : 0,
);

/**
 * 1: may be in a request target. Browsers send some characters raw that RFC 3986 wants
 * encoded ("|", "{"), so those pass; "#", which is no part of any target, and what other
 * programs take for an end of the target do not.
 */
export const targetOctet = tableOf((octet, char) =>
  octet > 0x20 && octet < 0x7f && !'#"<>'.includes(char) ? 1 : 0,
);

/** 1: may be in a host name; stricter than a reg-name, which no resolver takes. */
export const hostOctet = tableOf((_, char) => (/[A-Za-z0-9._~-]/.test(char) ? 1 : 0));

/** The value of a hexadecimal digit, or 255. */
export const hexValue = tableOf((_, char) =>
  /[0-9a-fA-F]/.test(char) ? Number.parseInt(char, 16) : 255,
);

/** Text as octets, one each; for constants and for configuration, which is checked first. */
export function octets(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}
