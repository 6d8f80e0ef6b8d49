/** `openssl s_client` as a client of TLS, which can what node's cannot. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** All that it said, of itself and of the server, when it has ended, however. */
export async function sClient(
  port: number,
  parameters: readonly string[] = [],
  input = 'Q\n',
): Promise<string> {
  const where = ['-connect', `127.0.0.1:${port}`, '-servername', 'shop.example'];
  const child = spawn('openssl', ['s_client', ...where, ...parameters], { stdio: 'pipe' });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => (said += data.toString('latin1')));
  }
  // It may have ended before it read anything.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  await once(child, 'close');
  return said;
}
