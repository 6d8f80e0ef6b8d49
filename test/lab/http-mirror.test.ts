/**
 * Copies for a second pool: they arrive as the requests were, and whatever becomes of them, clients
 * hear of the first pool alone.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { Echo } from './http-member-process.js';
import { listenAt, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { until } from './unit.js';

const test = suite('http with a mirror');
const lab = needs.lab(test);
const PORT = 8090;
let stage: ProxyLab;

/** A member that writes each request down, one JSON line, and then does what its first word says. */
const recorder = `
const { createServer } = require('node:http');
createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces).toString();
    console.log(JSON.stringify({ method: request.method, url: request.url, body }));
    if (process.argv[1] === 'answer') response.writeHead(500, { 'x-mirror': 'yes' }).end('mirror');
    else if (process.argv[1] === 'reset') request.socket.resetAndDestroy();
  });
}).listen(${PORT}, () => console.log('ready'));
`;

test.before(async () => {
  stage = await ProxyLab.open(['member-1', 'member-2']);
  await stage.apply({
    pools: {
      shop: { members: membersOf(['member-1']) },
      copies: { members: membersOf(['member-3'], {}, PORT) },
    },
    services: {
      web: {
        listen: listenAt(80),
        pool: 'shop',
        routes: [{ when: { path: '/**' }, pool: 'shop', mirror: { pool: 'copies' } }],
      },
    },
  });
  await stage.untilWorkers(2);
});

test.after(() => stage.close());

/** Asks so many times with a body; every answer is member-1's. */
async function ask(times: number): Promise<void> {
  for (let index = 0; index < times; index += 1) {
    const answer = await stage.curl(
      '-i',
      '-d',
      `body ${index}`,
      `http://${service4}/echo?${index}`,
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /"member":"member-1"/);
    assert.not.match(answer, /mirror/);
  }
}

for (const what of ['answer', 'reset', 'silence'] as const) {
  lab(`copies arrive whole, and a mirror's ${what} changes nothing`, async () => {
    await stage.withScript('member-3', [recorder, what], async (lines) => {
      await ask(10);
      const seen = (): Set<string> => new Set(lines);
      await until('ten copies', 5000, () =>
        Promise.resolve(seen().size === 10 ? true : `${seen().size} different copies`),
      );
      const wanted = Array.from({ length: 10 }, (_, index) =>
        JSON.stringify({ method: 'POST', url: `/echo?${index}`, body: `body ${index}` }),
      );
      assert.equal([...seen()].sort(), wanted.sort());
    });
  });
}

lab('a mirror that is not there changes nothing', () => ask(10));

lab('what is copied: small requests; and not long bodies, or those without a length', async () => {
  await stage.withScript('member-3', [recorder, 'answer'], async (lines) => {
    const url = `http://${service4}/echo`;
    const post = async (to: string, body: string, ...more: string[]): Promise<number> => {
      const path = stage.file('body', body);
      const said = await stage.curl(...more, '--data-binary', `@${path}`, to);
      return (JSON.parse(said) as Echo).bytes;
    };
    assert.is(await post(`${url}?long`, 'x'.repeat(100_000)), 100_000);
    assert.is(await post(`${url}?chunked`, 'x', '-H', 'Transfer-Encoding: chunked'), 1);
    await stage.curl(`${url}?get`);
    assert.is(await post(`${url}?small`, 'x'.repeat(1000)), 1000);
    const seen = (): string[] =>
      lines.map((line) => (JSON.parse(line) as { readonly url: string }).url).sort();
    // The last two come after the first two would have come.
    await until('two copies', 5000, () =>
      Promise.resolve(seen().length >= 2 ? true : seen().join(', ')),
    );
    assert.equal(seen(), ['/echo?get', '/echo?small']);
  });
});

test.run();
