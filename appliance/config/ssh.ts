/** Who may reach the dashboard by SSH. */
import { z } from 'zod';
import { refuseRepeats, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const KINDS = [
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  'ssh-rsa',
];

/** One line of a public key file, without options: the key says who, and nothing else (RFC 4253 §6.6). */
function parseKey(text: string): Parsed<string> {
  const [kind = '', blob = '', ...comment] = text.trim().split(/[ \t]+/);
  if (!KINDS.includes(kind)) {
    return refused(
      `${quote(text.slice(0, 40))} is no public key: write the line of a file such as id_ed25519.pub, which begins with its kind (ssh-ed25519 …)`,
    );
  }
  const bytes = Buffer.from(blob, 'base64');
  const length = bytes.length < 4 ? 0 : bytes.readUInt32BE(0);
  const named = bytes.toString('latin1', 4, 4 + length);
  if (bytes.toString('base64') !== blob || named !== kind || bytes.length <= 4 + length) {
    return refused(`the key is damaged: what follows ${kind} is not a key of that kind`);
  }
  const note = comment.join(' ');
  if (!/^[\x20-\x7e]{0,200}$/.test(note)) return refused('the note behind the key is not plain');
  return parsed([kind, blob, note].join(' ').trimEnd());
}

export const sshSchema = z
  .strictObject({
    keys: z
      .array(
        textField('a public key is text', parseKey, {
          kind: 'SSH public key',
          examples: [
            'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh somebody',
          ],
        }),
      )
      .min(1)
      .max(64)
      .superRefine(refuseRepeats)
      .describe(
        'Public keys that may come in. They lead to the dashboard, which asks for a login.',
      ),
  })
  .describe(
    'The dashboard by SSH (`ssh weir-console@ADDRESS`), at the interface for management only. Left out: nobody comes in by SSH.',
  );
