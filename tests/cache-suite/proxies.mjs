// Who can be asked: Aqueduct, and nginx to see that the suite says of it what is known of it.
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

import { COOKIES } from './suite.mjs'

const PATIENCE = 10_000

export const proxies = { aqueduct, nginx }

/** At a port that it chooses and tells. */
async function aqueduct (origin, program) {
  const folder = scratch()
  const settings = path.join(folder, 'aqueduct.toml')
  fs.writeFileSync(settings, `\
listen = ["127.0.0.1:0"]

[server.http]
# M-SEARCH is not let through of its own accord.
methods = ["*"]

[routes]
"/" = { to = "http://127.0.0.1:${origin}", cache = true }
"${COOKIES}" = { to = "http://127.0.0.1:${origin}", cache = { set_cookie = "keep" } }
`)
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AQUEDUCT__')))
  const child = spawn(program, ['run', '--settings', settings], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const stop = stopper(child, folder)
  const said = []
  const lines = readline.createInterface({ input: child.stderr })
  const listens = new Promise((resolve, reject) => {
    lines.on('line', line => {
      said.push(line)
      const [, address] = line.split('listening on ')
      if (address) resolve(address.trim())
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`it ended: ${said.join('\n')}`)))
    setTimeout(() => reject(new Error(`it does not listen: ${said.join('\n')}`)), PATIENCE).unref()
  })
  try {
    return { base: `http://${await listens}`, stop }
  } catch (error) {
    stop()
    throw error
  }
}

/** As the suite's authors set it up. */
async function nginx (origin) {
  const folder = scratch()
  const settings = path.join(folder, 'nginx.conf')
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `  ${kind}_temp_path ${folder}/${kind};`).join('\n')
  fs.writeFileSync(settings, `\
daemon off;
pid ${folder}/nginx.pid;
${process.getuid() === 0 ? 'user root;' : ''}
events {}
http {
  access_log off;
${temporary}
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=suite:8m max_size=100m inactive=60m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${origin};
      proxy_cache suite;
      proxy_cache_revalidate on;
    }
  }
}
`)
  const words = ['-p', folder, '-e', path.join(folder, 'error.log'), '-c', settings]
  const child = spawn('nginx', words, { stdio: ['ignore', 'ignore', 'inherit'] })
  const stop = stopper(child, folder)
  try {
    await answers(port, child)
  } catch (error) {
    stop()
    throw error
  }
  return { base: `http://127.0.0.1:${port}`, stop }
}

function scratch () {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'cache-suite-'))
}

function stopper (child, folder) {
  return () => {
    child.removeAllListeners('exit')
    child.kill()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

async function freePort () {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

async function answers (port, child) {
  const until = Date.now() + PATIENCE
  while (Date.now() < until) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    const socket = net.connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      await new Promise(resolve => setTimeout(resolve, 20))
    } finally {
      socket.destroy()
    }
  }
  throw new Error('it does not listen')
}
