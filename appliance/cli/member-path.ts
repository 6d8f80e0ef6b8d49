/**
 * Where the API has one member, by the names that people write.
 */
import { CliError, EXIT } from './exit-codes.js';

/** Throws CliError when `member` is no address and port. */
export async function memberPath(pool: string, member: string): Promise<string> {
  // Imported here, because the language's parsers bring its schema along, which takes
  // longer to load than everything else in this program.
  const { memberKey, parseEndpoint } = await import('../config/addresses.js');
  const endpoint = parseEndpoint(member);
  if (!endpoint.ok) throw new CliError(EXIT.usage, `${endpoint.message}.`);
  const key = memberKey(endpoint.value);
  return `/v1/pools/${encodeURIComponent(pool)}/members/${encodeURIComponent(key)}`;
}
