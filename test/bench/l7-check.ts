/**
 * Whether a proxy does all that the scene asks for, before anything is timed: a proxy that leaves
 * something out would win by it.
 */
import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { ECHO, type Proxy, type Route, type Scene, scene } from './l7-scene.js';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The head that the member got. */
  readonly body: string;
}

function ask(agent: Agent, port: number, { host, path }: Route, cookie: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      Host: host,
      [scene.requestRemove]: 'yes',
      ...(cookie === '' ? {} : { Cookie: cookie }),
    };
    request({ agent, port, host: '127.0.0.1', path: `${path}${ECHO}`, headers }, (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (piece: string) => (body += piece));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    })
      .on('error', reject)
      .end();
  });
}

/** What is wrong with an answer, or null. */
function fault(answer: Answer, route: Route): string | null {
  const { status, headers, body } = answer;
  const { requestSet, requestRemove, responseSet } = scene;
  const has = (name: string, value: string): boolean =>
    new RegExp(`^${name}: *${value}\r$`, 'im').test(body);
  if (status !== 200) return `status ${status}`;
  const member = String(headers['x-member']);
  if (!member.startsWith(`${route.pool}/`)) {
    return `it went to ${member} instead of ${route.pool}`;
  }
  if (!has(requestSet.name, requestSet.value)) return `the member got no ${requestSet.name}`;
  if (has(requestRemove, '.*')) return `the member got ${requestRemove}`;
  if (!has('X-Forwarded-For', '127\\.0\\.0\\.1')) return 'the member got no X-Forwarded-For';
  if (!has('Host', route.host)) return 'the member got another Host';
  if (headers[responseSet.name.toLowerCase()] !== responseSet.value) {
    return `the answer has no ${responseSet.name}`;
  }
  return null;
}

/** Throws with what the proxy does not do. */
export async function checkProxy({ name }: Proxy, port: number, { routes }: Scene): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  try {
    for (const route of routes) {
      const first = await ask(agent, port, route, '');
      const wrong = fault(first, route);
      const where = `${name}, ${route.host}${route.path}`;
      if (wrong !== null) throw new Error(`${where}: ${wrong}; the member got\n${first.body}`);
      const cookie = (first.headers['set-cookie'] ?? [])
        .map((text) => text.split(';', 1)[0] ?? '')
        .find((text) => text.startsWith(`${scene.cookie}=`) || text.startsWith(`${scene.cookie}-`));
      if (cookie === undefined) throw new Error(`${where}: no cookie ${scene.cookie} was set`);
      for (let times = 0; times < 3; times += 1) {
        const again = await ask(agent, port, route, cookie);
        if (again.headers['x-member'] !== first.headers['x-member']) {
          throw new Error(`${where}: the cookie did not lead to the same member`);
        }
      }
    }
  } finally {
    agent.destroy();
  }
}
