/**
 * Certificates through the whole unit: imported and made by the command, declared in a document,
 * there again after the daemon was killed, and their keys nowhere to be found.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { OpenSsl } from '../support/openssl.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';

const test = suite('certificates');

needs.lab(test)(
  'certificates outlive the daemon, and their keys are in no file and no log',
  async () => {
    const openssl = new OpenSsl();
    const lab = await Lab.open(everyPath);
    const { unit } = lab;
    try {
      openssl.make('shop.example', { key: ['rsa:2048'] });
      const [pem, key] = [openssl.path('shop.example.pem'), openssl.path('shop.example.key')];
      await unit.must('cert', 'import', 'shop.example', pem, key);
      await unit.must('cert', 'ca', 'own');
      await unit.must('cert', 'self-signed', 'inner', '--names', '10.77.0.80', '--ca', 'own');

      const unknown = lab.file(
        'unknown.yaml',
        'version: 1\nunit: { name: a }\ncertificates:\n  x: { type: stored }\n',
      );
      const refused = await unit.weir('apply', unknown);
      assert.is(refused.status, 4, refused.stderr);
      assert.match(
        refused.stderr,
        /unknown\.yaml:4:\d+: certificates\.x: the certificate store has none/,
      );

      await lab.change((document) => {
        document.certificates = {
          'shop.example': { type: 'stored' },
          lab: { type: 'self-signed', names: ['lab.example'] },
        };
      });
      const rows = (): Promise<CertificateRow[]> => unit.get<CertificateRow[]>('/v1/certificates');
      const before = await rows();
      assert.equal(
        before.map(({ name, kind, declared }) => [name, kind, declared]),
        [
          ['inner', 'certificate', null],
          ['lab', 'certificate', 'self-signed'],
          ['own', 'authority', null],
          ['shop.example', 'certificate', 'stored'],
        ],
      );
      const removal = await unit.weir('cert', 'remove', 'lab');
      assert.is(removal.status, 5, removal.stderr);

      await unit.end('SIGKILL');
      await unit.start();
      assert.equal(await rows(), before, 'expected the same certificates after the restart');

      openssl.write('own.pem', await unit.must('cert', 'export', 'own'));
      openssl.write('inner.pem', await unit.must('cert', 'export', 'inner'));
      const said = openssl.run(
        'verify',
        '-verify_ip',
        '10.77.0.80',
        '-CAfile',
        'own.pem',
        'inner.pem',
      );
      assert.match(said, /OK/);
      const output = openssl.path('taken.pem');
      await unit.must('cert', 'export', 'shop.example', '--key', '--output', output);
      assert.is(statSync(output).mode & 0o777, 0o600);
      const taken = createPrivateKey(readFileSync(output));
      assert.ok(new X509Certificate(readFileSync(pem)).checkPrivateKey(taken));
      const events = await unit.must('show', 'events', '--kind', 'certificate');
      assert.match(events, /warning: \w+ exported the private key of certificate shop\.example/);

      const { d = '' } = taken.export({ format: 'jwk' });
      const secret = Buffer.from(d, 'base64url').subarray(0, 32);
      const forms = [secret, Buffer.from(secret.toString('hex'))];
      for (const at of [0, 1, 2]) {
        forms.push(Buffer.from(secret.subarray(at).toString('base64').slice(4, 28)));
      }
      const files = readdirSync(unit.files, { recursive: true, withFileTypes: true });
      const plain = files.filter((file) => file.isFile());
      assert.ok(
        plain.some(({ name }) => name === 'certificates.db'),
        'expected the store among the files',
      );
      for (const file of plain) {
        const path = join(file.parentPath, file.name);
        const bytes = readFileSync(path);
        for (const form of forms) assert.is(bytes.indexOf(form), -1, `${path} holds the key`);
        if (/machine-key|certificates\.db/.test(file.name)) {
          assert.is(statSync(path).mode & 0o077, 0, `${path} can be used by others`);
        }
      }
      const texts = [events, await unit.must('export'), await unit.must('history', '--json')];
      for (const text of texts) {
        for (const form of forms)
          assert.is(Buffer.from(text).indexOf(form), -1, 'a key is printed');
      }
    } finally {
      await lab.close();
      openssl.end();
    }
  },
);

test.run();
