/** Asks the daemon's socket as another user of the system, who is a process of its own. */
import { spawn } from 'node:child_process';

export const NOBODY = 65534;

export interface OtherAnswer {
  readonly status: number;
  readonly text: string;
}

/** Throws what the process wrote when it had no answer. */
export async function askAs(
  uid: number,
  request: {
    readonly socketPath: string;
    readonly method?: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
  },
): Promise<OtherAnswer> {
  const script = `const {body,...of}=${JSON.stringify(request)};
    require('node:http').request(of,(r)=>{let text='';r.on('data',(d)=>text+=d)
      .on('end',()=>console.log(JSON.stringify({status:r.statusCode,text})))}).end(body)`;
  const child = spawn(process.execPath, ['-e', script], { uid, gid: NOBODY, cwd: '/' });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => (text += String(piece)));
  }
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`No answer for user ${uid}: ${text}`);
  return JSON.parse(text) as OtherAnswer;
}
