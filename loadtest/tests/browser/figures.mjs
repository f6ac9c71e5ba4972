// Opens a page from disk in Chromium, without a network, and says as JSON what its reader sees.
//
// Takes one argument, JSON: `modules` (the folder that holds node_modules), `program` (Chromium's path),
// `environment` (what Chromium needs beyond this process's own), `page` (the page's path).
// Must never judge: what is right is for the test to say.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

/** How long all of it may take, in milliseconds. */
const LIMIT_MS = 120_000

const { modules, program, environment, page: path } = JSON.parse(process.argv[2])
const { chromium } = createRequire(`${modules}/`)('playwright-core')

setTimeout(() => {
  console.error(`not done after ${LIMIT_MS} ms`)
  process.exit(3)
}, LIMIT_MS).unref()

/** Runs in the page. */
function look() {
  // What the reader can unfold is there to be read.
  for (const folded of document.querySelectorAll('details')) folded.open = true
  const box = (element) => {
    const { width, height } = element.getBoundingClientRect()
    return { width, height }
  }
  const figures = [...document.querySelectorAll('[data-figure]')].map((element) => ({
    pointer: element.dataset.figure,
    scale: element.dataset.scale ?? null,
    text: element.innerText.trim(),
    is_visible: element.checkVisibility({ opacityProperty: true, visibilityProperty: true }),
    ...box(element),
  }))
  const graphs = [...document.querySelectorAll('figure[id]')].map((figure) => {
    const svg = figure.querySelector('svg')
    // Axes and the legend are lines, too; only what is measured has dots.
    const dots = svg ? svg.querySelectorAll('circle').length : 0
    return { id: figure.id, dots, ...(svg ? box(svg) : { width: 0, height: 0 }) }
  })
  const headings = [...document.querySelectorAll('h1, h2, h3')].map((heading) => heading.innerText.trim())
  return { figures, graphs, headings, data: document.querySelector('#data')?.textContent ?? null }
}

const browser = await chromium.launch({
  executablePath: program,
  headless: true,
  // The page is this repository's own; in a container there is often neither a sandbox nor much shared memory.
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
  env: { ...process.env, ...environment },
})
try {
  const context = await browser.newContext({ offline: true, viewport: { width: 1280, height: 900 } })
  const itself = pathToFileURL(path).href
  const requests = []
  const errors = []
  await context.route('**/*', (route) => {
    const request = route.request()
    if (request.url() === itself && request.isNavigationRequest()) return route.continue()
    return route.abort()
  })
  const page = await context.newPage()
  page.on('request', (request) => {
    if (request.url() !== itself) requests.push(request.url())
  })
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`console: ${message.text()}`)
  })
  page.on('pageerror', (error) => errors.push(`page: ${error.message}`))
  page.on('crash', () => errors.push('the page crashed'))
  await page.goto(itself, { waitUntil: 'load' })
  const seen = await page.evaluate(look)
  console.log(JSON.stringify({ browser: browser.version(), requests, errors, ...seen }))
} finally {
  await browser.close()
}
